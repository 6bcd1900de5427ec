"""Deliberate bugs of the agent, and of calls that come twice."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Edit, Mutant

AGENT = (
    Mutant(
        "`lease` is answered from memory",
        "A2",
        ("5 job time",),
        (
            Edit(
                "dryad.agent:Agent._lease",
                "board = command.epoch.board\n",
                "board = command.epoch.board\n"
                "    if self.__dict__.setdefault('leased', -1) == board:\n"
                "        return Done()\n"
                "    self.leased = board\n",
            ),
        ),
    ),
    Mutant(
        "an agent that comes back goes on unconditionally",
        "A3",
        ("1 one holder",),
        (
            Edit(
                "dryad.agent:Agent.registered",
                "if holding.open_epoch is not None or holding.may_live(self.epoch.board):",
                "if False:",
            ),
        ),
        faults="cut=60,server_lost=20",
        seeds=10,
    ),
    Mutant(
        "an agent that was restarted believes its file",
        "A3",
        ("5 job time", "1 one holder"),
        (
            Edit(
                "dryad.holding:Holding.start",
                "replace(old.closed(), boot_id=self._boot)",
                "replace(old, boot_id=self._boot)",
            ),
            Edit("dryad.holding:Holding.start", "await self.end()", "pass"),
        ),
        faults="agent_killed=40",
        seeds=6,
    ),
    Mutant(
        "a key is not removed at the end",
        "A4",
        ("1 one holder", "5 job time"),
        (Edit("dryad.holding:Holding.end", "await self._sessions.end()", "pass"),),
    ),
    Mutant(
        "`prepare` does not end the session before",
        "A4",
        ("1 one holder", "5 job time"),
        (Edit("dryad.agent:Agent._prepare", "await self._holding.end()", "pass"),),
    ),
    Mutant(
        "a session that does not die is called dead",
        "A4",
        ("1 one holder",),
        (
            Edit(
                "dryad.holding:Holding.end",
                "raise\n",
                "pass\n",
            ),
        ),
        faults="session_alive=0.5",
    ),
    Mutant(
        "a job's end on the board is nobody's business",
        "promise 3",
        ("5 job time",),
        (
            Edit(
                "dryad.holding:Holding._time_is_up",
                "if self.open_epoch == board and not self._stopped:",
                "if False:",
            ),
        ),
        faults="cut=60",
        seeds=4,
    ),
    Mutant(
        "put_in_maintenance of an older epoch is carried out",
        "A2",
        ("5 job time", "1 one holder"),
        (
            Edit(
                "dryad.agent:Agent.handle",
                "case PutInMaintenance(epoch=epoch):\n            self._refuse_stale(epoch)\n",
                "case PutInMaintenance(epoch=epoch):\n",
            ),
            Edit(
                "dryad.agent:Agent._maintain",
                "self._refuse_stale(command.epoch)",
                "pass",
            ),
        ),
        faults="doubled=0.5,admin_state=200",
        seeds=10,
    ),
    Mutant(
        "`prepare` of an older epoch is carried out",
        "A2",
        ("5 job time", "1 one holder"),
        (
            Edit(
                "dryad.agent:Agent.handle",
                "case Prepare(epoch=epoch):\n            self._refuse_stale(epoch)\n",
                "case Prepare(epoch=epoch):\n",
            ),
            Edit("dryad.agent:Agent._refuse_stale", "if epoch < self.epoch:", "if False:"),
        ),
        faults="doubled=0.5,admin_state=100",
        seeds=10,
    ),
)

TWICE = (
    Mutant(
        "a command that comes twice runs twice",
        "A4",
        ("5 job time", "1 one holder"),
        (
            Edit("dryad.agent:Agent._once", "if command in self._answers:", "if False:"),
            Edit("dryad.agent:Agent._once", "self._running.get(command)", "None"),
        ),
        faults="doubled=0.3",
        seeds=6,
    ),
)

AGENTS = (*AGENT, *TWICE)

"""Deliberate bugs of judgement: time, silence, prolonging, clients that are gone, and matching."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Edit, Mutant

TIME = (
    Mutant(
        "a job ends by the wall clock",
        "A8",
        ("5 job time",),
        (
            Edit(
                "actors.request_shell:RequestShell._job_left",
                "left = self.directory.job_ends.left(job)",
                "left = (job.ends_at - self._now).total_seconds()",
            ),
        ),
        faults="clock_jumps=40",
        seeds=4,
    ),
    Mutant(
        "after a restart the server's clock ends a job, not the agent's",
        "A8",
        ("5 job time",),
        (
            Edit(
                "actors.request_shell:RequestShell.begin",
                "self._end_was_read = not self._reachable",
                "self._end_was_read = False",
            ),
        ),
        faults="clock_jumps=40,server_killed=60",
        seeds=6,
    ),
    Mutant(
        "a prolong is not told to the agent",
        "A9",
        ("5 job time",),
        (
            Edit(
                "actors.request:RequestActor._change_job",
                "self.directory.tell_worker(renewed.worker_uuid, TellEnd(renewed))",
                "pass",
            ),
        ),
    ),
    Mutant(
        "a job is prolonged while its board is out of reach",
        "A9",
        ("5 job time",),
        (Edit("actors.request:RequestActor._prolong", "if not self._reachable:", "if False:"),),
        faults="cut=300",
        seeds=6,
    ),
    Mutant(
        "a deadline is no end",
        "B4",
        ("6 rest", "3 nobody waits in vain"),
        (
            Edit(
                "boruta.domain.request:expired",
                "row.state is not ReqState.WAIT or row.deadline > now",
                "row.deadline",
            ),
        ),
        seeds=4,
    ),
)

SILENCE = (
    Mutant(
        "a board's silence counts while the server stood still",
        "A7",
        ("5 job time",),
        (Edit("actors.worker:WorkerActor._due", "if ran < grace:", "if False:"),),
        faults="server_paused=800,cut=300",
        hours=1.0,
        seeds=4,
    ),
    Mutant(
        "a client's silence counts while the server stood still",
        "A7",
        ("5 job time",),
        (Edit("actors.sessions:Sessions._over", "if ran < defaults.CLIENT_LEASE_S:", "if False:"),),
        faults="server_paused=800,cut=100",
        seeds=6,
    ),
    Mutant(
        "a client that is gone is never given up",
        "promise 1, leases",
        ("6 rest",),
        (
            Edit(
                "actors.sessions:Sessions.lost",
                "session.lease = self._later(self._lease_s, key)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "a board that was lost is lent at once when it comes back",
        "B5",
        ("3 nobody waits in vain",),
        (
            Edit(
                "actors.worker:WorkerActor._register",
                "self._settled = not was_lost",
                "self._settled = True",
            ),
        ),
        faults="agent_killed=40",
        seeds=4,
    ),
    Mutant(
        "boards that are out of reach are lent",
        "matching",
        ("3 nobody waits in vain", "5 job time"),
        (
            Edit(
                "actors.worker_shell:WorkerShell._may_be_lent",
                "and self._presence.online",
                "",
            ),
        ),
    ),
    Mutant(
        "other capabilities change nothing",
        "C8",
        ("2 states", "4 order"),
        (
            Edit(
                "boruta.domain.returning:registered",
                "said.caps != row.caps and",
                "False and",
            ),
        ),
        seeds=4,
    ),
)

MATCHING = (
    Mutant(
        "after a start boards are lent before the others are back",
        "B2",
        ("4 order",),
        (
            Edit("actors.matcher:MatcherActor._match", "if self.directory.holding:", "if False:"),
            # What came back is lent 5 s later (B5), which would hide it.
            Edit("actors.worker:WorkerActor._register", "self._settled = not was_lost", "pass"),
        ),
        faults="server_killed=60",
    ),
    Mutant(
        "priority is ignored",
        "B3",
        ("4 order",),
        (
            Edit(
                "boruta.domain.matching:Matching.request_ready",
                "(priority, seq, req_id)",
                "(1, seq, req_id)",
            ),
        ),
        busy=2.0,
        seeds=4,
    ),
    Mutant(
        "the last to come is the first",
        "B1",
        ("4 order",),
        (
            Edit(
                "boruta.domain.matching:Matching.request_ready",
                "(priority, seq, req_id)",
                "(priority, -seq, req_id)",
            ),
        ),
        busy=2.0,
        seeds=4,
    ),
    Mutant(
        "groups are no part of a bucket",
        "B1",
        ("4 order",),
        (
            Edit(
                "boruta.domain.matching:Matching.request_ready",
                "self._links.bucket(caps, groups)",
                "self._links.bucket(caps, ())",
            ),
        ),
    ),
    Mutant(
        "boards that become idle wake nobody",
        "B2",
        ("3 nobody waits in vain",),
        (
            Edit(
                "boruta.domain.matching:Matching.worker_offered",
                "self._walk.awake(boards)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "another priority is not told to the matcher",
        "B1",
        ("4 order", "6 rest", "3 nobody waits in vain"),
        (Edit("actors.request:RequestActor._update", "self._arrange()", "pass"),),
        faults="storms=1",
        workers=3,
        seeds=6,
    ),
)

JUDGEMENT = (*TIME, *SILENCE, *MATCHING)

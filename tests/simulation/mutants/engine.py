"""Deliberate bugs of the engine: the claim, epochs, the end of a job, dead letters, clocks."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Edit, Mutant

_CLAIM = "self.commit((Write(held, wanted.rev), Write(mine, row.rev), Write(job, 0)), then)"
_ASSIGN = "actors.worker:WorkerActor._assign"

CLAIM = (
    Mutant(
        "the claim is three transactions",
        "A1",
        ("1 one holder",),
        (
            Edit(
                _ASSIGN,
                _CLAIM,
                "self.commit((Write(held, wanted.rev),), lambda _: None)\n"
                "    self.commit((Write(mine, row.rev),), lambda _: None)\n"
                "    self.commit((Write(job, 0),), then)",
            ),
        ),
    ),
    Mutant(
        "a claim compares no revision",
        "A1",
        ("2 states", "6 rest", "0 no defect", "1 one holder"),
        (
            Edit(
                "boruta.store.memory:MemoryStore.check",
                "if (0 if there is None else there.rev) != change.was:",
                "if len(transaction) != 3 and (0 if there is None else there.rev) != change.was:",
            ),
        ),
        faults="storms=1,turn_late=0.2",
        workers=4,
        hours=1.0,
        hold_s=60.0,
    ),
    Mutant(
        "a refused claim counts",
        "A1",
        ("7 written first", "1 one holder", "0 no defect", "2 states", "3 nobody waits in vain"),
        (Edit(_ASSIGN, "if conflict is not None:", "if False:"),),
        faults="claim_refused=0.2",
    ),
    Mutant(
        "a refused claim keeps its port",
        "A1",
        ("6 rest",),
        (Edit(_ASSIGN, "self.directory.access.close(endpoint)", "pass"),),
        faults="claim_refused=0.2",
    ),
    Mutant(
        "a refused claim loses the request's place",
        "A1",
        ("3 nobody waits in vain", "4 order"),
        (
            Edit(
                "actors.matcher:MatcherActor._put_back",
                "self._matching.refused(req_id)",
                "self._matching.request_gone(req_id)",
            ),
        ),
        faults="claim_refused=0.2",
    ),
    Mutant(
        "one key a board, for all its jobs",
        "A2",
        ("1 one holder",),
        (
            Edit(
                "actors.board:Board.order_prepare",
                "private, public = self._directory.make_key()",
                "kept = self.__dict__.setdefault('kept', self._directory.make_key())\n"
                "    private, public = kept",
            ),
        ),
    ),
    Mutant(
        "an id is given before its request is in the store",
        "A10, promise 2",
        ("7 written first", "2 states"),
        (
            Edit(
                "actors.api:RequestsApi._committed",
                "directory.journal.submit((Write(row, 0),), then, self._caller.name)",
                "directory.dispatcher.call_later(0.05, lambda: (\n"
                "        directory.journal.submit((Write(row, 0),), then)))\n"
                "    done.answer(None)",
            ),
        ),
    ),
)

TWINS = (
    Mutant(
        "a call that comes twice makes two requests",
        "promise 2",
        ("2 states",),
        (
            Edit(
                "actors.api:RequestsApi._twin",
                "self._directory.store.by_token(name, token)",
                "None",
            ),
            Edit("boruta.store.memory:MemoryStore.check", "if twin != row.id:", "if False:"),
        ),
        faults="doubled=0.3",
    ),
)

EPOCHS = (
    Mutant(
        "prepare goes under the old epoch",
        "A2",
        ("1 one holder",),
        (
            Edit(
                "boruta.domain.worker:prepare_anew",
                "board_epoch=row.board_epoch + 1",
                "board_epoch=row.board_epoch",
            ),
        ),
    ),
    Mutant(
        "put_in_maintenance goes under the old epoch",
        "A2",
        ("1 one holder",),
        (
            Edit(
                "boruta.domain.worker:taken_out",
                "board_epoch=row.board_epoch + 1",
                "board_epoch=row.board_epoch",
            ),
        ),
    ),
)

END = (
    Mutant(
        "the tunnel outlives the job",
        "A4",
        ("1 one holder",),
        (Edit("actors.board:Board.close_tunnel", "self._directory.access.close", "str"),),
    ),
    Mutant(
        "a session counts as over before the agent says so",
        "A4",
        ("1 one holder",),
        (
            Edit(
                "actors.worker:WorkerActor._release",
                "self._change(worker.released(row, self._now), None)",
                "self._board.session_over(self._now)\n"
                "        self._change(worker.released(row, self._now), None)",
            ),
        ),
    ),
    Mutant(
        "a board that fails keeps its holder",
        "A4",
        ("1 one holder", "5 job time"),
        (
            Edit(
                "actors.worker_shell:WorkerShell._owe",
                "self._board.order_end(row, row.reason)",
                "pass",
            ),
        ),
        faults="board_faulty=40",
        seeds=3,
    ),
    Mutant(
        "a board in PREPARE that comes back is not prepared anew",
        "B7",
        ("6 rest",),
        (
            Edit(
                "boruta.domain.returning:_returned",
                "case WorkerState.IDLE | WorkerState.PREPARE:",
                "case WorkerState.PREPARE:\n            return Return(known)\n"
                "        case WorkerState.IDLE:",
            ),
        ),
    ),
)

LETTERS = (
    Mutant(
        "a release that is lost is not looked for",
        "A6",
        ("1 one holder", "2 states"),
        (
            Edit(
                "actors.request_shell:RequestShell._finish",
                "self.directory.tell_worker(",
                "(lambda *_: None)(",
            ),
            Edit(
                "actors.worker:WorkerActor._sweep",
                "self._release(row.request_id, row.board_epoch)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "an offer that was refused is not offered again",
        "A6",
        ("3 nobody waits in vain", "4 order"),
        (
            Edit(
                "actors.worker:WorkerActor._refuse",
                "self.directory.tell_matcher(AssignRefused(wanted.id, wanted.rev, self._uuid))",
                "pass",
            ),
            Edit("actors.matcher:MatcherActor._sweep", "self._put_back(req_id)", "pass"),
        ),
        seeds=6,
    ),
    Mutant(
        "a prepare that is over keeps its permit",
        "B6",
        ("6 rest",),
        (
            Edit(
                "actors.worker:WorkerActor._answered",
                "self.directory.give_back_permit(self._uuid)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "waiting acquires are never counted off",
        "C11",
        ("6 rest",),
        (
            Edit(
                "actors.request_shell:RequestShell._drop_waiters",
                "self.directory.acquire_over(message.by.name)",
                "pass",
            ),
        ),
    ),
)

ENGINE = (*CLAIM, *TWINS, *EPOCHS, *END, *LETTERS)

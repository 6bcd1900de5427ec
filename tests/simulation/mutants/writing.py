"""Deliberate bugs of what is told before it is written, of crashes, and of a store that is ill."""

from __future__ import annotations

from tests.simulation.mutants.mutant import Edit, Mutant

WRITING = (
    Mutant(
        "after a crash the tunnel of an ended job opens again",
        "A4",
        ("1 one holder",),
        (
            Edit(
                "actors.worker_shell:WorkerShell._resume",
                "held is not None and held.state is ReqState.INPROGRESS",
                "held is not None",
            ),
        ),
        faults="server_killed=300,turn_late=0.2",
        hold_s=60.0,
    ),
    Mutant(
        "an answer goes out before what it tells is written",
        "A10, promise 2",
        ("7 written first",),
        (
            Edit(
                "actors.journal:Journal.is_written",
                "self._touched.get(key, 0) <= self._store.written",
                "True",
            ),
        ),
    ),
    Mutant(
        "an order goes out before its claim is written",
        "A1, A2",
        ("7 written first",),
        (Edit("actors.journal:Journal.after", "if position <= self._store.written:", "if True:"),),
    ),
    Mutant(
        "a later end is told to the agent before it is written",
        "A9",
        ("7 written first",),
        (Edit("actors.journal:Journal.after", "if and_of is not None:", "if False:"),),
    ),
    Mutant(
        "boards are lent while the store is ill",
        "A10",
        ("7 written first",),
        (
            Edit("actors.worker:WorkerActor._assign", "store.unwell is None", "store"),
            Edit("actors.directory:Directory.holding", "self.store.unwell is not None", "False"),
        ),
        faults="store_ill=300",
        busy=0.4,
        hold_s=100.0,
    ),
    Mutant(
        "jobs are prolonged while the store is ill",
        "A10",
        ("7 written first",),
        (Edit("actors.api:RequestsApi.prolong_access", "self._check_store()", "pass"),),
        faults="store_ill=60,storms=0.5",
        seeds=4,
    ),
    Mutant(
        "requests are taken in while the store is ill",
        "A10",
        ("7 written first",),
        (Edit("actors.api:RequestsApi.new_request", "self._check_store()", "pass"),),
        faults="store_ill=60",
    ),
    Mutant(
        "a holder stays as long as the store is ill",
        "A10",
        ("1 one holder",),
        (
            Edit(
                "actors.worker_shell:WorkerShell._change",
                "self._board.order_end(old, row.reason)",
                "pass",
            ),
        ),
        faults="store_ill=200",
        seeds=4,
    ),
)

"""How many boards a key may bring, and what the log says of those that fail."""

from __future__ import annotations

import pytest

from actors.directory import Rules
from boruta.domain.errors import Busy, InfraError
from boruta.domain.types import Caller, Role, WorkerState
from boruta.testing.dryad import FakeDryad, Manner
from tests.actors.farm import ADMIN, SimFarm


def test_a_worker_key_registers_so_many_boards_and_no_more() -> None:
    farm = SimFarm(rules=Rules(per_key=2))
    farm.board("b1", enable=False)
    first = farm.dryads["b1"]
    farm.board("b2")
    with pytest.raises(Busy, match="per_key allows 2"):
        farm.board("b3")
    directory = farm.system.directory
    assert set(directory.workers) == set(directory.presence) == {"b1", "b2"}
    # Others have their own share, an admin no limit, and those that are known come back.
    farm.register(FakeDryad(farm.sim, {"UUID": "o1"}), by=Caller("other", Role.WORKER))
    for uuid in ("a1", "a2", "a3"):
        farm.register(FakeDryad(farm.sim, {"UUID": uuid}), by=ADMIN)
    farm.lose(first)
    farm.come_back(first)
    farm.call(farm.front.workers(ADMIN).deregister("b1"))
    farm.board("b3")
    assert farm.worker("b3").state is WorkerState.IDLE
    # After a restart they are counted from the store.
    after = SimFarm(rules=Rules(per_key=2), store=farm.store)
    with pytest.raises(Busy):
        after.board("b4")


def test_the_log_says_why_boards_could_not_be_prepared_and_that_they_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    farm = SimFarm()
    dryad = farm.board("b1", enable=False)
    dryad.manners["prepare"] = Manner(fail=InfraError("no card\nworker=b2"))
    farm.set_state("b1", WorkerState.IDLE)
    farm.advance(300)
    lines = [record.getMessage() for record in caplog.records]
    tries = [line for line in lines if line.startswith("prepare_failed worker=b1")]
    assert [line.split()[2] for line in tries] == [f"tries={n}" for n in range(1, 6)]
    assert tries[0].endswith(r"error='no card\nworker=b2'")
    assert any(line.startswith("failed worker=b1 cause=prepare reason=") for line in lines)

"""After a start a job goes on by its own port, or, where that is taken, by another one."""

from __future__ import annotations

from boruta.domain.ports import Endpoint
from boruta.domain.rows import Write
from boruta.domain.types import AccessInfo, ReqID, ReqState
from boruta.store.memory import MemoryStore
from boruta.testing.access import FakeAccess
from tests.actors.farm import ALICE, SimFarm


def _held() -> tuple[SimFarm, ReqID, Endpoint]:
    old = SimFarm()
    old.board("b1")
    req_id = old.new()
    job = old.store.job(req_id)
    assert job is not None
    return old, req_id, Endpoint(job.tunnel_host, job.tunnel_port)


def _access(farm: SimFarm, req_id: ReqID) -> AccessInfo:
    found = farm.call(farm.front.requests(ALICE).acquire_worker(req_id))
    assert isinstance(found, AccessInfo)
    return found


def test_the_port_is_the_same_after_a_restart() -> None:
    old, req_id, was = _held()
    farm = SimFarm(store=old.store)
    assert set(farm.access.opened) == {was}
    assert _access(farm, req_id).port == was.port


def test_where_it_is_taken_the_job_goes_on_by_another_one() -> None:
    old, req_id, was = _held()
    farm = SimFarm(store=old.store, access=FakeAccess(first_port=50_000, taken={was}))
    assert set(farm.access.opened) == {Endpoint("127.0.0.1", 50_000)}
    assert _access(farm, req_id).port == 50_000
    assert farm.state(req_id) is ReqState.INPROGRESS
    farm.close(req_id)
    assert farm.access.opened == {}
    # It was written: the next life takes up that one.
    again = old.store.job(req_id)
    assert again is not None
    assert again.tunnel_port == 50_000


class _Grudging(MemoryStore):
    """Refuses a port that is another job's, as the durable one does."""

    refused = 0

    def check(self, transaction):  # type: ignore[no-untyped-def]
        """The first row that stands in the way."""
        for change in transaction:
            if isinstance(change, Write) and getattr(change.row, "tunnel_port", 0) == 50_000:
                self.refused += 1
                return super().check((Write(change.row, -1),))
        return super().check(transaction)


def test_a_port_of_another_job_is_passed_over() -> None:
    old, req_id, was = _held()
    store = old.store
    store.__class__ = _Grudging
    farm = SimFarm(store=store, access=FakeAccess(first_port=50_000, taken={was}))
    assert _access(farm, req_id).port == 50_001
    assert Endpoint("127.0.0.1", 50_000) not in farm.access.reserved


def test_without_any_way_its_holder_is_told() -> None:
    old, req_id, _ = _held()
    farm = SimFarm(store=old.store, access=FakeAccess(broken=True))
    found = farm.info(req_id)
    assert (found.state, found.reason_code) == (ReqState.FAILED, "internal")
    assert "no tunnel to its board" in found.reason

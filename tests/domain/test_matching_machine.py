"""The index and a scan over everything make the same pairs, whatever comes in whatever order."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from boruta.domain import matching, places, walk
from boruta.domain.matching import Matching
from boruta.domain.pools import Bucket, Node, Place
from boruta.domain.slices import whole
from boruta.domain.types import Capabilities
from tests.domain.scan import Scan, Waiting

UUIDS = ["w1", "w2", "w3", "w4,w1"]
# Few kinds, so that they meet; each form of the grammar, and each way to name a board.
WANTED = [
    Capabilities(one)
    for one in (
        {},
        {"arch": "arm"},
        {"arch": "arm|mips"},
        {"arch": "mips, x86", "volt": "1.5..3.6"},
        {"arch": "!=arm"},
        {"arch": "*", "volt": "3.3"},
        {"hdmi": "!*"},
        {"volt": ">=3"},
        {"volt": "3.6..1"},
        {"UUID": "w1"},
        {"UUID": "w2|w3", "arch": "arm"},
        {"UUID": "!=w1"},
        {"UUID": "!=w2|w3", "arch": "arm|mips"},
        {"UUID": "*", "arch": "arm"},
        {"UUID": "!*"},
        {"UUID": "1..5"},
    )
]
HAS = [
    Capabilities(one)
    for one in (
        {"arch": "arm"},
        {"arch": "arm, mips", "volt": "3.3"},
        {"arch": "mips", "volt": "1.5..3.6"},
        {"arch": "arm", "hdmi": "yes"},
        {"volt": "1, 2"},
    )
]

uuids = st.sampled_from(UUIDS)
wanted = st.sampled_from(WANTED)
has = st.sampled_from(HAS)
groups = st.sampled_from([(), (), (), ("a",), ("b",), ("a", "b")])
ids = st.integers(1, 9)


class MatchingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = Matching()
        self.scan = Scan()
        self.seq = 100
        self.rev = 0

    @initialize(caps=st.tuples(*[has] * len(UUIDS)), of=st.tuples(*[groups] * len(UUIDS)))
    def boards(self, caps: tuple[Capabilities, ...], of: tuple[tuple[str, ...], ...]) -> None:
        for uuid, some, names in zip(UUIDS, caps, of, strict=True):
            self.known(uuid, some, names)

    @rule(id_=ids, caps=wanted, groups=groups, priority=st.integers(1, 3), late=st.booleans())
    def ready(
        self, id_: int, caps: Capabilities, groups: tuple[str, ...], priority: int, late: bool
    ) -> None:
        self.seq += 1
        self.rev += 1
        seq = self.seq if late else 200 - self.seq
        self.index.request_ready(id_, self.rev, priority, seq, caps, groups)
        self.scan.requests[id_] = Waiting((priority, seq, id_), caps, groups)

    @rule(id_=ids)
    def gone(self, id_: int) -> None:
        self.index.request_gone(id_)
        self.scan.requests.pop(id_, None)

    @rule(id_=ids)
    def refused(self, id_: int) -> None:
        self.index.refused(id_)
        if id_ in self.scan.requests:
            self.scan.requests[id_].ready = True

    @rule(uuid=uuids, caps=has, groups=groups)
    def known(self, uuid: str, caps: Capabilities, groups: tuple[str, ...]) -> None:
        self.index.worker_known(uuid, caps, groups)
        self.scan.known(uuid, caps, groups)

    @rule(uuid=uuids)
    def forgotten(self, uuid: str) -> None:
        self.index.worker_forgotten(uuid)
        self.scan.boards.pop(uuid, None)

    @rule(uuid=uuids, failed=st.booleans())
    def offered(self, uuid: str, failed: bool) -> None:
        self.index.worker_offered(uuid, recently_failed=failed)
        if uuid in self.scan.boards:
            board = self.scan.boards[uuid]
            board.idle, board.failed = True, failed

    @rule(uuid=uuids, failed=st.booleans())
    def offered_and_settled(self, uuid: str, failed: bool) -> None:
        self.offered(uuid, failed)
        self.settle()

    @rule(failed=st.booleans())
    def all_offered(self, failed: bool) -> None:
        for uuid in UUIDS:
            self.offered(uuid, failed)

    @rule(uuid=uuids)
    def withdrawn(self, uuid: str) -> None:
        self.index.worker_withdrawn(uuid)
        if uuid in self.scan.boards:
            self.scan.boards[uuid].idle = False

    @rule(budget=st.integers(0, 3), most=st.integers(1, 3))
    def slice(self, budget: int, most: int) -> None:
        """A part of the work is done: what is handed out is what the scan hands out first."""
        self.index.advance(budget)
        self.check_prefix(most)

    @rule()
    def settle(self) -> None:
        """All of the work is done: what is handed out is all that the scan hands out."""
        while self.index.advance(2):
            pass
        while self.check_prefix(3) or self.index.unfinished:
            pass
        assert self.scan.matches() == []

    def check_prefix(self, most: int) -> int:
        expected = self.scan.matches()
        found = [(pair.request_id, pair.worker_uuid) for pair in self.index.matches(most)]
        assert found == expected[: len(found)]
        self.scan.take(found)
        return len(found)

    @precondition(lambda self: self.scan.requests)
    @rule(data=st.data())
    def questions(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.scan.requests)))
        request = self.scan.requests[id_]
        asked = (request.caps, request.groups)
        fitting = self.scan.fitting(request)
        assert self.index.fitting_workers(*asked) == fitting
        assert self.index.servable(*asked) == bool(fitting)
        assert self.index.unmet(*asked) == self.scan.unmet(request)
        while self.index.advance(100):
            pass
        assert self.index.queue_position(id_) == self.scan.position(id_)
        found = {one: self.index.find(one) for one in self.scan.requests}
        wanted: dict[Bucket, list[Place]] = {}
        for known in found.values():
            assert known is not None
            wanted.setdefault(known.bucket, []).append(known.place)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(places, "_RANK", data.draw(st.sampled_from([0, 1000])))  # both ways
            positions = whole(self.index.count_places(wanted))
        assert positions == {one: self.scan.position(one) for one in self.scan.requests}
        fit = self.index.fit_of(*asked)
        assert fit or not fitting
        for one, other in self.scan.requests.items():
            alike = (other.caps, other.groups) == asked
            assert (found[one].bucket is found[id_].bucket) == alike  # type: ignore[union-attr]
            if fit and self.index.fit_of(other.caps, other.groups) == fit:
                assert self.scan.fitting(other) == fitting
        never = [one for one, waiting in self.scan.queue() if not self.scan.fitting(waiting)]
        assert sorted(self.index.unservable()) == sorted(never)

    @invariant()
    def nothing_is_kept_of_what_is_gone(self) -> None:
        assert set(self.index._workers) == set(self.scan.boards)
        assert set(self.index._requests) == set(self.scan.requests)
        links = self.index._links
        nodes: list[Node] = [*links._buckets.values(), *links._shapes.values()]
        for node in nodes:
            assert all(other.alive for other in node.links)
            assert node.raised <= node.links
            assert all(node in other.links for other in node.links)


class SmallMachine(MatchingMachine):
    """The same with all bounds low: nothing is kept, little is looked at in a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = matching.EMPTY_KEPT, walk.PROBES, walk.LOOKS_A_TURN
        matching.EMPTY_KEPT, walk.PROBES, walk.LOOKS_A_TURN = 0, 1, 3

    def teardown(self) -> None:
        matching.EMPTY_KEPT, walk.PROBES, walk.LOOKS_A_TURN = self.normal


class AlongWorkers(MatchingMachine):
    """The same, and always the walk along workers."""

    def __init__(self) -> None:
        super().__init__()
        self.index._walk._workers_are_fewer = lambda: True  # type: ignore[method-assign]


class AlongRequests(SmallMachine):
    """The same, and the walk along requests whenever boards have news.

    Without news it is not begun anew: one that was cut short would never come to its end.
    """

    def __init__(self) -> None:
        super().__init__()
        walk = self.index._walk
        walk._workers_are_fewer = lambda: not walk._woken  # type: ignore[method-assign]


TestMatching = MatchingMachine.TestCase
TestSmall = SmallMachine.TestCase
TestAlongWorkers = AlongWorkers.TestCase
TestAlongRequests = AlongRequests.TestCase
for case in (TestMatching, TestSmall, TestAlongWorkers, TestAlongRequests):
    case.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
del case  # it would be collected

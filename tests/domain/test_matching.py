"""Who gets which board: the rules one by one. The machine beside proves them together."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain import matching as module
from boruta.domain import walk
from boruta.domain.capindex import CapIndex
from boruta.domain.links import RIVALS, make_bucket
from boruta.domain.matching import Matching, Pair
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Boards
from boruta.domain.types import Capabilities, Groups

ARM = Capabilities(arch="arm")


class Farm:
    """A matching that is asked in few words."""

    def __init__(self) -> None:
        self.matching = Matching()
        self.seq = 0

    def board(self, uuid: str, caps: Capabilities = ARM, groups: Groups = ()) -> None:
        self.matching.worker_known(uuid, caps, groups)
        self.matching.worker_offered(uuid)

    def request(
        self, id_: int, caps: Capabilities = ARM, groups: Groups = (), priority: int = 8
    ) -> None:
        self.seq += 1
        self.matching.request_ready(id_, 1, priority, self.seq, caps, groups)

    def pairs(self) -> list[tuple[int, str]]:
        found: list[Pair] = []
        while True:
            more = self.matching.advance(3)
            some = self.matching.matches(2)
            found += some
            if not (more or some or self.matching.unfinished):
                return [(pair.request_id, pair.worker_uuid) for pair in found]


@pytest.fixture
def farm() -> Farm:
    return Farm()


def test_priority_comes_before_the_time_of_queueing(farm: Farm) -> None:
    farm.request(1, priority=9)
    farm.request(2, priority=2)
    farm.request(3, priority=2)
    farm.board("a")
    farm.board("b")
    assert farm.pairs() == [(2, "a"), (3, "b")]


def test_a_request_that_cannot_be_served_blocks_nobody(farm: Farm) -> None:
    farm.request(1, Capabilities(arch="vax"), priority=1)
    farm.request(2, priority=16)
    farm.board("a")
    assert farm.pairs() == [(2, "a")]


def test_the_board_with_the_fewest_caps_and_groups_is_lent(farm: Farm) -> None:
    farm.board("a", Capabilities(arch="arm", hdmi="yes"))
    farm.board("b", ARM, ("x", "y"))
    farm.board("d", ARM, ("x",))
    farm.board("c", Capabilities(arch="arm", sd="yes"))
    for id_ in range(4):
        farm.request(id_)
    assert farm.pairs() == [(0, "a"), (1, "c"), (2, "d"), (3, "b")]


def test_among_equals_those_that_failed_lately_come_last(farm: Farm) -> None:
    farm.board("b")
    farm.matching.worker_known("a", ARM, ())
    farm.matching.worker_offered("a", recently_failed=True)
    farm.request(1)
    assert farm.pairs() == [(1, "b")]
    farm.board("b")
    farm.matching.worker_offered("a", recently_failed=False)
    farm.request(2)
    assert farm.pairs() == [(2, "a")]


def test_a_better_board_that_comes_later_is_seen_by_those_who_have_looked(farm: Farm) -> None:
    for uuid in ("b", "d"):
        farm.matching.worker_known(uuid, ARM, ())
    for uuid in ("c1", "c2"):
        farm.board(uuid, Capabilities(arch="arm, mips"))
    farm.matching.worker_offered("d")
    farm.request(1)
    assert farm.pairs() == [(1, "c1")]
    farm.matching.worker_offered("b")
    farm.request(2)
    assert farm.pairs() == [(2, "b")]


def test_groups_of_a_request_must_meet_one_of_the_boards(farm: Farm) -> None:
    farm.board("a", ARM, ("x",))
    farm.request(1, groups=("y", "z"))
    assert farm.pairs() == []
    farm.matching.worker_known("a", ARM, ("x", "z"))
    assert farm.pairs() == [(1, "a")], "a board that is idle stays idle when its groups change"


def test_one_that_waits_for_another_group_stops_nobody_behind_it(farm: Farm) -> None:
    farm.board("a", ARM, ("x",))
    farm.request(1, groups=("y",))
    farm.request(2, groups=("x",))
    assert farm.pairs() == [(2, "a")]


def test_a_request_without_groups_takes_any_board(farm: Farm) -> None:
    farm.board("a", ARM, ("x",))
    farm.request(1, Capabilities())
    assert farm.pairs() == [(1, "a")]


def test_a_board_is_named_or_refused_by_its_uuid(farm: Farm) -> None:
    for uuid in "abc":
        farm.board(uuid)
    farm.request(1, Capabilities(UUID="c"))
    farm.request(2, Capabilities(UUID="!=a"))
    farm.request(3, Capabilities(UUID="!=a"))
    farm.request(4, Capabilities(UUID="!*"))
    farm.request(5, Capabilities(UUID="*"))
    assert farm.pairs() == [(1, "c"), (2, "b"), (5, "a")]
    farm.matching.worker_offered("a")
    assert farm.pairs() == []
    farm.matching.worker_offered("c")
    assert farm.pairs() == [(3, "c")]


@pytest.mark.parametrize("along_workers", [True, False])
def test_a_board_that_is_refused_is_not_the_first_try_either(
    farm: Farm, along_workers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "PROBES", 1)
    monkeypatch.setattr(walk.Walk, "_workers_are_fewer", lambda self: along_workers)
    farm.request(1, Capabilities(UUID="!=a"))
    farm.request(2)
    farm.request(3, Capabilities())
    farm.board("a")
    farm.board("b", Capabilities(arch="mips"))
    farm.matching.worker_withdrawn("b")
    assert farm.pairs() == [(2, "a")]
    farm.matching.worker_offered("b")
    assert farm.pairs() == [(1, "b")]


@pytest.fixture
def along_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk.Walk, "_workers_are_fewer", lambda self: True)


@pytest.mark.usefixtures("along_workers")
def test_a_bucket_that_was_seen_empty_is_seen_again(farm: Farm) -> None:
    farm.request(9, Capabilities(arch="vax"))  # else nobody looks once the queue is empty
    farm.board("a")
    farm.board("b")
    farm.request(1)
    assert farm.pairs() == [(1, "a")]
    farm.matching.worker_withdrawn("b")
    farm.request(2)
    assert farm.pairs() == []
    farm.matching.worker_offered("b")
    assert farm.pairs() == [(2, "b")]


@pytest.mark.usefixtures("along_workers")
def test_a_board_that_comes_back_offers_what_came_meanwhile(farm: Farm) -> None:
    farm.request(5, priority=5)
    farm.board("w")
    for n in (1, 3, 4):
        farm.board(f"t{n}", Capabilities(arch=f"t{n}"))
        farm.request(n, Capabilities(arch=f"t{n}"), priority=n)

    def next_pair() -> list[Pair]:
        while farm.matching.advance(100):
            pass
        return farm.matching.matches(1)

    assert next_pair() == [Pair(1, "t1")]
    farm.matching.worker_withdrawn("w")
    farm.request(2, Capabilities(arch="arm|x"), priority=2)
    assert next_pair() == [Pair(3, "t3")]
    farm.matching.worker_offered("w")
    assert next_pair() == [Pair(2, "w")]


def test_what_is_refused_stands_at_its_old_place(farm: Farm) -> None:
    farm.request(1)
    farm.board("a")
    assert farm.pairs() == [(1, "a")]
    farm.request(2)
    farm.matching.refused(1)
    farm.matching.refused(1)
    farm.matching.refused(99)
    farm.board("a")
    assert farm.pairs() == [(1, "a")]


def test_a_pair_is_made_once(farm: Farm) -> None:
    farm.request(1)
    farm.request(2)
    farm.board("a")
    assert farm.pairs() == [(1, "a")]
    assert farm.pairs() == []
    farm.matching.request_gone(1)
    farm.matching.worker_offered("a")
    farm.matching.worker_offered("a")
    assert farm.pairs() == [(2, "a")]


def test_an_older_revision_of_a_request_is_ignored(farm: Farm) -> None:
    farm.matching.request_ready(1, 5, 8, 1, ARM, ())
    farm.matching.request_ready(1, 4, 8, 1, Capabilities(arch="vax"), ())
    farm.board("a")
    assert farm.pairs() == [(1, "a")]


def test_a_withdrawn_or_forgotten_board_is_not_lent(farm: Farm) -> None:
    for uuid in "ab":
        farm.board(uuid)
    farm.matching.worker_withdrawn("a")
    farm.matching.worker_forgotten("b")
    farm.matching.worker_offered("b")
    farm.request(1)
    assert farm.pairs() == []
    assert farm.matching.fitting_workers(ARM, ()) == ["a"]


def test_nothing_is_lent_while_a_better_board_is_not_compared_yet(farm: Farm) -> None:
    farm.request(1)
    farm.board("b", Capabilities(arch="arm", hdmi="yes"))
    while farm.matching.advance(1):
        pass
    farm.board("a")
    assert farm.matching.matches() == [], "the new shape may be the better one"
    assert farm.pairs() == [(1, "a")]


def test_nobody_passes_a_request_whose_kind_is_not_compared_yet(farm: Farm) -> None:
    farm.board("a")
    assert farm.pairs() == []
    farm.request(1, Capabilities(arch="arm|mips"), priority=5)
    farm.request(2, priority=6)
    farm.request(3, priority=4)
    while not (found := farm.matching.matches()):
        farm.matching.advance(1)
    assert found == [Pair(3, "a")]
    farm.board("a")
    assert farm.pairs() == [(1, "a")]


def test_a_request_ahead_of_what_is_not_compared_yet_need_not_wait(farm: Farm) -> None:
    farm.board("a")
    farm.request(1)
    assert farm.pairs() == [(1, "a")]
    farm.matching.refused(1)
    farm.board("a")
    farm.request(2, Capabilities(arch="arm|mips"))
    assert farm.matching.matches() == [Pair(1, "a")]


def test_a_position_counts_those_who_want_the_same_boards(farm: Farm) -> None:
    farm.board("a")
    farm.board("m", Capabilities(arch="mips"))
    farm.matching.worker_withdrawn("a")
    farm.matching.worker_withdrawn("m")
    farm.request(1)
    farm.request(2, Capabilities(arch="mips"))
    farm.request(3, Capabilities(UUID="a"))
    farm.request(4, Capabilities(arch="!=mips"))
    farm.request(5, Capabilities(arch="vax"))
    farm.request(6, Capabilities())
    farm.pairs()
    positions = [farm.matching.queue_position(id_) for id_ in range(1, 8)]
    assert positions == [1, 1, 2, 3, 1, 5, 0]


def test_with_very_many_kinds_a_position_is_one_in_the_whole_queue(farm: Farm) -> None:
    farm.board("a")
    farm.matching.worker_withdrawn("a")
    farm.request(999, Capabilities(arch="vax"))
    for id_ in range(RIVALS + 1):
        farm.request(id_, Capabilities(arch=f"arm|{id_}"))
    farm.pairs()
    assert farm.matching.queue_position(RIVALS) == RIVALS + 2


def test_it_is_known_what_nobody_has(farm: Farm) -> None:
    farm.board("a", Capabilities(arch="arm", volt="3.3"), ("x",))
    wanted = Capabilities(arch="arm", volt="5..", hdmi="*")
    assert farm.matching.unmet(wanted, ("y", "z")) == ["volt=5..", "hdmi", "group y or z"]
    assert not farm.matching.servable(wanted, ())
    assert farm.matching.servable(ARM, ("x",))
    assert farm.matching.unmet(ARM, ("x",)) == []
    farm.request(1, wanted)
    farm.request(2)
    assert farm.matching.unservable() == [1]


def test_empty_buckets_are_kept_within_bounds(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EMPTY_KEPT", 2)
    farm.board("a")
    for id_ in range(10):
        farm.request(id_, Capabilities(arch=f"arm|{id_}"))
        farm.matching.request_gone(id_)
    links = farm.matching._links
    assert len(links._buckets) == 2
    assert len(links._index._anchors) == 2
    assert sum(len(boards.links) for boards in links._shapes.values()) <= 2


def test_nothing_is_left_of_a_board_that_is_gone(farm: Farm) -> None:
    farm.request(1)
    farm.board("a")
    farm.matching.advance(100)
    farm.matching.worker_forgotten("a")
    links = farm.matching._links
    assert (links._shapes, links._index._boards._under) == ({}, {})
    assert all(not bucket.links for bucket in links._buckets.values())


@pytest.mark.parametrize("shapes", [1, 200])
def test_many_idle_and_many_ready_at_once_meet_in_order(farm: Farm, shapes: int) -> None:
    for n in range(200):
        farm.board(f"w{n:03}", Capabilities(arch="arm", serial=str(n % shapes)))
    for id_ in range(300):
        farm.request(id_, Capabilities(arch=f"arm|{id_ % 40}"), priority=1 + id_ % 3)
    found = farm.pairs()
    order = sorted(range(300), key=lambda id_: (1 + id_ % 3, id_))
    assert found == [(id_, f"w{n:03}") for n, id_ in enumerate(order[:200])]


caps = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "x|y", "1..2", "!=x", "*", "!*", "1", "1..9", "x, 1", ">=2", "a||"]),
)
has = st.dictionaries(
    st.sampled_from(["a", "b"]), st.sampled_from(["x", "y, x", "1", "1.5", "1..3", "a||", "!=x"])
)


@settings(max_examples=200, deadline=None)
@given(wanted=caps, offered=has)
def test_the_index_finds_every_pair_that_fits(
    wanted: dict[str, str], offered: dict[str, str]
) -> None:
    bucket = make_bucket(Capabilities(wanted), ())
    boards = Boards(Capabilities(offered), ())
    first, second = CapIndex(), CapIndex()
    found_later = first.add_bucket(bucket) + first.add_boards(boards)
    found_before = second.add_boards(boards) + second.add_bucket(bucket)
    if bucket.fits(boards):
        assert found_later == [bucket]
        assert found_before == [boards]


def test_a_snapshot_of_ordered_keys_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boruta.domain.ordered._BLOCK", 4)
    keys: OrderedKeys[int] = OrderedKeys()
    model: set[int] = set()
    kept: list[tuple[OrderedKeys[int], list[int]]] = []
    chance = random.Random(7)
    for step in range(2000):
        key = chance.randrange(60)
        (keys.remove if key in model else keys.add)(key)
        model ^= {key}
        if step % 7 == 0:
            kept.append((keys.snapshot(), sorted(model)))
    for snapshot, wanted in kept:
        assert snapshot.keys() == wanted
        assert [snapshot.rank(key) for key in wanted] == [*range(len(wanted))]
    assert keys.keys() == sorted(model)


def test_ordered_keys_are_a_sorted_list_that_is_quick() -> None:
    keys: OrderedKeys[int] = OrderedKeys()
    model: list[int] = []
    chance = random.Random(5)
    for _ in range(6000):
        key = chance.randrange(10_000)
        if key in model:
            keys.remove(key)
            model.remove(key)
        else:
            keys.add(key)
            model.append(key)
    model.sort()
    assert list(keys) == model
    assert len(keys) == len(model)
    assert keys.first() == model[0]
    assert [keys.rank(key) for key in (-1, *model[::100], 10_001)] == [
        0,
        *range(0, len(model), 100),
        len(model),
    ]
    for missing in (-5, 10_001):
        with pytest.raises(KeyError):
            keys.remove(missing)

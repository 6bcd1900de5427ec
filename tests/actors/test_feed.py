"""News of changes: told to those who want them, described for nobody else."""

from __future__ import annotations

from datetime import UTC, datetime

from actors.feed import ChangeFeed
from boruta.domain.changes import Change, Gap
from boruta.domain.types import ReqInfo
from boruta.store.memory import MemoryStore

AT = datetime(2030, 1, 2, tzinfo=UTC)


class Told:
    """Counts how often it was put into words."""

    def __init__(self) -> None:
        self.described = 0

    def __call__(self) -> ReqInfo:
        self.described += 1
        return ReqInfo(id=1)


def test_a_change_is_described_once_for_all_who_want_it_and_never_for_nobody() -> None:
    feed, told, got = ChangeFeed("life", lambda: AT, MemoryStore()), Told(), list[Change]()
    feed.request("created", 1, told)
    feed.subscribe(got.append, kinds=("ended",))
    feed.subscribe(got.append, requests=(2,))
    feed.subscribe(got.append, workers=("board",))
    feed.request("created", 1, told)
    assert (told.described, got) == (0, [])
    feed.subscribe(got.append)
    feed.request("ended", 1, told)
    assert (told.described, len(got)) == (1, 2)
    assert got[0] is got[1]


def test_who_comes_back_is_told_what_it_missed_or_that_it_is_lost() -> None:
    feed, got = ChangeFeed("life", lambda: AT, MemoryStore()), list[Change]()
    feed.request("created", 1, Told())
    since, first = feed.subscribe(got.append)
    first.close()
    feed.request("updated", 1, Told())
    feed.request("ended", 1, Told())
    feed.subscribe(got.append, kinds=("ended",), after_seq=since)
    assert [change.seq for change in got] == ["life-3"]
    feed.subscribe(got.append, after_seq="otherlife-1")
    assert isinstance(got[-1], Gap)

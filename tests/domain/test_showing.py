"""Requests as they are shown: one by one, and as the items of long lists that nobody has read."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from boruta.domain.later import Later
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Place
from boruta.domain.request import Limits
from boruta.domain.rows import JobRow, RequestRow
from boruta.domain.showing import info, infos
from boruta.domain.slices import whole
from boruta.domain.snapshot import Seen, Snapshot
from boruta.domain.types import Capabilities, QueueInfo, ReqID, ReqInfo, ReqState, UserInfo
from boruta.domain.waiting import Standing

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ARM = Capabilities(arch="arm")
LIMITS = Limits(prolongs=3)


def row(number: int, **fields: Any) -> RequestRow:
    return RequestRow(
        id=number, rev=1, state=ReqState.WAIT, priority=5, queue_seq=number, caps=ARM,
        valid_after=NOON, deadline=NOON + timedelta(days=1), job_timeout_s=60.0, created=NOON,
        owner_name="ann", owner_groups=("lab",), note="a note",
    )._replace(**fields)  # fmt: skip


def job(number: int) -> JobRow:
    return JobRow(number, 1, "board", 4, NOON, NOON, 1, "key", "user", (), "host", 1, prolongs=1)


def snapshot(*strangers: ReqID) -> Snapshot:
    nobody = Standing((), ("arch=arm",), True, NOON)
    queues = [OrderedKeys[Place](), OrderedKeys[Place]()]
    for place in (5, 1, 1), (5, 2, 2), (5, 3, 3):
        queues[0].add(place)
    queues[1].add((4, 9, 9))
    seen: Seen = (nobody, None, queues)
    return Snapshot({(ARM, ("lab",)): seen}, strangers)


def listed(*rows: RequestRow, waits: Any = None) -> list[ReqInfo]:
    said: Callable[[JobRow], str] = lambda job: f"{job.worker_uuid} is away"  # noqa: E731
    return whole(infos(rows, {7: job(7), 8: job(8)}.get, LIMITS, waits or snapshot(), said))


def unread(number: int = 2) -> ReqInfo:
    return listed(row(number))[0]


def read(number: int = 2) -> ReqInfo:
    found = info(row(number), None, LIMITS)
    position = 2 if number == 1 else 3
    why = (
        f"no known board has arch=arm; boruta workers shows what there is, "
        f"boruta close {number} gives up"
    )
    return replace(found, queue=QueueInfo(position, None, why, "nobody_has_it"))


def test_all_that_stands_in_a_row_is_shown() -> None:
    ended = row(
        7, state=ReqState.DONE, priority=2, bound=True, reason="closed by ann",
        reason_code="closed", started=NOON, ended=NOON + timedelta(hours=1),
    )  # fmt: skip
    found = info(ended, job(7), LIMITS, QueueInfo(1))
    assert found == ReqInfo(
        7, 2, UserInfo("ann", ("lab",)), "a note", ARM, NOON, NOON + timedelta(days=1), 60.0, True,
        ReqState.DONE, "closed by ann", "closed", NOON, NOON, NOON + timedelta(hours=1), 2,
        found.job,
    )  # fmt: skip
    assert found.job is not None
    assert (found.job.worker_uuid, found.job.timeout, found.job.epoch) == ("board", NOON, 4)


@pytest.mark.parametrize(
    "look",
    [
        lambda one: one.id,
        lambda one: one.queue,
        lambda one: one.note,
        lambda one: one.__class__,
        repr,
        hash,
        str,
        asdict,
        lambda one: one == read(),
        lambda one: read() == one,
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        replace,
    ],
)
def test_a_request_of_a_long_list_is_like_any_other_whatever_is_looked_at_first(
    look: Callable[[Any], object],
) -> None:
    one, same = unread(), read()
    first, wanted = look(one), look(same)
    if look is not pickle.dumps:
        assert first == wanted
        assert type(first) is type(wanted)
    assert one == same
    assert type(one) is ReqInfo
    assert pickle.loads(pickle.dumps(unread())) == same


def test_what_nobody_has_looked_at_cannot_be_changed_either() -> None:
    with pytest.raises(FrozenInstanceError):
        unread().priority = 1  # type: ignore[misc]


def test_the_place_is_counted_in_all_queues_of_the_snapshot() -> None:
    first, second = listed(row(1), row(2))
    assert (first.queue, second.queue) == (read(1).queue, read(2).queue)


def test_what_stood_in_no_queue_has_the_first_place() -> None:
    one = listed(row(3), waits=snapshot(3))[0]
    assert one.queue is not None
    assert one.queue.position == 1


def test_a_kind_that_the_snapshot_missed_is_told_without_a_reason() -> None:
    assert listed(row(3, caps=Capabilities()))[0].queue is None


def test_what_runs_or_has_ended_is_shown_with_its_job() -> None:
    runs, ended = listed(row(7, state=ReqState.INPROGRESS), row(8, state=ReqState.DONE))
    assert runs.reason == "board is away"
    assert ended.reason == ""
    for one in (runs, ended):
        assert one.job is not None
        assert (one.prolongs_left, one.queue) == (2, None)


def test_threads_that_look_at_once_see_the_same() -> None:
    for number in range(200):
        one, wanted = unread(), read()
        start = threading.Barrier(3)
        seen: list[object] = []

        def look(name: str, start: Any = start, one: Any = one, seen: Any = seen) -> None:
            start.wait()
            seen.append(getattr(one, name))

        names = ("note", "queue", "__class__") if number % 2 else ("id", "deadline", "id")
        threads = [threading.Thread(target=look, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, seen)) == sorted(str(getattr(wanted, name)) for name in names)
        assert one == wanted


def test_a_field_that_came_later_is_worked_out_once() -> None:
    looks = []

    class Why(Later):
        def of(self, owner: ReqInfo) -> QueueInfo:
            looks.append(owner.id)
            return QueueInfo(4)

    one = info(row(2), None, LIMITS, Why())
    assert looks == []
    assert one.queue == one.queue == QueueInfo(4)
    assert looks == [2]

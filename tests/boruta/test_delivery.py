"""Changes reach a host's own actors and callables, in order, and one never harms another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pykka
import pytest

from boruta.delivery import Delivery
from boruta.domain.changes import Change, Gap, WorkerChanged
from boruta.domain.types import WorkerInfo, WorkerState

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _change(number: int) -> WorkerChanged:
    return WorkerChanged(f"x-{number}", "idle", AT, WorkerInfo("u", WorkerState.IDLE))


class Sink:
    """Keeps what it is given; may be held up."""

    def __init__(self, expected: int) -> None:
        self.got: list[Change] = []
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self.entered = threading.Event()
        self.full = threading.Event()
        self._expected = expected

    def __call__(self, change: Change) -> None:
        self.entered.set()
        assert self.may_go.wait(10)
        self.got.append(change)
        self.threads.add(threading.get_ident())
        if len(self.got) >= self._expected:
            self.full.set()

    @property
    def numbers(self) -> list[str]:
        return ["gap" if isinstance(c, Gap) else c.seq.partition("-")[2] for c in self.got]


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    found = Delivery(most=3)
    yield found
    found.close()


def test_changes_come_in_order_on_one_thread_that_is_not_the_senders(delivery: Delivery) -> None:
    first, second = Sink(3), Sink(3)
    lanes = [delivery.lane(first), delivery.lane(second)]
    for number in range(3):
        for lane in lanes:
            lane.put(_change(number))
    assert first.full.wait(10)
    assert second.full.wait(10)
    assert first.numbers == second.numbers == ["0", "1", "2"]
    assert first.threads == second.threads != {threading.get_ident()}


def test_a_slow_subscriber_is_told_of_a_gap_where_it_is(delivery: Delivery) -> None:
    sink = Sink(5)
    lane = delivery.lane(sink)
    sink.may_go.clear()
    lane.put(_change(0))
    assert sink.entered.wait(10)  # 0 is with the subscriber, 1 to 3 fill the queue
    for number in range(1, 6):
        lane.put(_change(number))
    sink.may_go.set()
    assert sink.full.wait(10)
    assert sink.numbers == ["0", "1", "2", "3", "gap"]
    sink.full.clear()
    lane.put(_change(6))
    assert sink.full.wait(10)
    assert sink.numbers[5:] == ["6"]


def test_what_comes_after_a_gap_is_delivered_after_it(delivery: Delivery) -> None:
    sink, gate = Sink(99), Sink(1)
    lane, between = delivery.lane(sink), delivery.lane(gate)
    sink.may_go.clear()
    gate.may_go.clear()
    lane.put(_change(0))
    assert sink.entered.wait(10)
    lane.put(_change(1))
    between.put(_change(0))  # the thread stands here once 0 and 1 are delivered
    for number in range(2, 5):  # 4 finds no room
        lane.put(_change(number))
    sink.may_go.set()
    assert gate.entered.wait(10)
    lane.put(_change(5))
    gate.may_go.set()
    last = Sink(1)
    delivery.lane(last).put(_change(0))
    assert last.full.wait(10)
    assert sink.numbers == ["0", "1", "2", "3", "gap", "5"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_subscriber_that_raises_goes_on_with_the_next_change(
    delivery: Delivery, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    sink = Sink(1)

    def deliver(change: Change) -> None:
        if change.seq == "x-0":
            raise error
        sink(change)

    lane = delivery.lane(deliver)
    with caplog.at_level(logging.ERROR, "boruta.delivery"):
        lane.put(_change(0))
        lane.put(_change(1))
        assert sink.full.wait(10)
    assert sink.numbers == ["1"]
    assert "subscriber_failed" in caplog.text


def test_a_flood_for_one_does_not_starve_another() -> None:
    delivery = Delivery(most=10_000)
    try:
        busy, quiet = Sink(1000), Sink(1)
        busy.may_go.clear()
        flood, drop = delivery.lane(busy), delivery.lane(quiet)
        flood.put(_change(0))
        assert busy.entered.wait(10)
        drop.put(_change(1))
        for number in range(999):
            flood.put(_change(number))
        seen: list[int] = []
        quiet_call = quiet.__call__

        def note(change: Change) -> None:
            seen.append(len(busy.got))
            quiet_call(change)

        drop._deliver = note
        busy.may_go.set()
        assert quiet.full.wait(10)
        assert seen == [1]
    finally:
        delivery.close()


def test_a_closed_lane_delivers_no_more(delivery: Delivery) -> None:
    sink, other = Sink(1), Sink(1)
    lane = delivery.lane(sink)
    sink.may_go.clear()
    lane.put(_change(0))
    assert sink.entered.wait(10)
    lane.put(_change(1))
    lane.close()
    lane.put(_change(2))
    sink.may_go.set()
    delivery.lane(other).put(_change(0))
    assert other.full.wait(10)
    assert sink.numbers == ["0"]


def test_an_actor_that_has_stopped_is_told_no_more(
    delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Event()

    class Watcher(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            heard.set()

    ref = Watcher.start()
    try:
        lane = delivery.lane(ref.tell)
        lane.put(_change(0))
        assert heard.wait(10)
    finally:
        ref.stop()
    lane.put(_change(1))
    other = Sink(1)
    delivery.lane(other).put(_change(0))
    assert other.full.wait(10)
    assert lane.closed
    assert not [
        r for r in caplog.records if r.levelno >= logging.ERROR and r.name == "boruta.delivery"
    ]


def test_a_subscriber_may_close_the_delivery(delivery: Delivery) -> None:
    done = threading.Event()

    def deliver(_: Change) -> None:
        delivery.close()
        done.set()

    delivery.lane(deliver).put(_change(0))
    assert done.wait(10)

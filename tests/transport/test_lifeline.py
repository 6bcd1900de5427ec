"""One connection of a client, with its clock and its socket in the test's hand."""

from __future__ import annotations

import asyncio
from typing import Any

from transport.client import Address
from transport.lifeline import Lifeline
from transport.session import HEARTBEAT


class Socket:
    """A connection in which a frame waits that the loop has not yet looked at."""

    def __init__(self, line: Lifeline) -> None:
        self._line = line
        self.waiting: list[bytes] = []

    def drain_all(self) -> None:
        for frame in self.waiting:
            self._line._on_frame(frame)
        self.waiting.clear()

    def send(self, frame: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def silent_for_seven_seconds(waiting: list[bytes], step_s: float = 0.5) -> bool:
    """Whether a client leaves a server from which nothing but this has come."""

    async def story() -> bool:
        now = 0.0
        line = Lifeline(
            Address("tcp://127.0.0.1:9", "k" * 40), lambda: now, 7.0, lambda *_: None, None
        )
        socket: Any = Socket(line)
        line._connection = socket
        while now < 6.5:
            now += 0.5
            line._timer.cancel()
            line._tick()
        socket.waiting = waiting
        now += step_s
        line._timer.cancel()
        line._tick()
        left = line.over.done()
        line.close()
        return left

    return asyncio.run(story())


def test_a_server_that_is_silent_is_left() -> None:
    assert silent_for_seven_seconds([])


def test_what_has_come_is_read_before_a_server_is_judged() -> None:
    assert not silent_for_seven_seconds([HEARTBEAT])


def test_silence_while_this_process_was_stopped_does_not_count() -> None:
    assert not silent_for_seven_seconds([], step_s=60.0)

"""Input for a program that reads slowly: what the agent keeps of it is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os

import asyncssh
import pytest

from dryad.sessions.pumps import HIGH_BYTES, Input
from tests.dryad.sessions_kit import embedded

WINDOW = asyncssh.connection._DEFAULT_WINDOW  # type: ignore[attr-defined]
PIECE = 32 << 10


class Endless:
    """A channel as asyncssh has it, and a client that fills its window whenever it opens."""

    def __init__(self) -> None:
        self.window = WINDOW
        self.kept: list[bytes] = []
        self.paused = False
        self.input: Input | None = None

    def send(self) -> None:
        while self.window >= PIECE:
            self.window -= PIECE
            if self.paused:
                self.kept.append(bytes(PIECE))
            else:
                self._deliver(bytes(PIECE))

    def _deliver(self, data: bytes) -> None:
        if self.window < WINDOW / 2:
            self.window = WINDOW  # whatever is kept
        assert self.input is not None
        self.input.feed(data)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        while self.kept and not self.paused:
            self._deliver(self.kept.pop(0))

    def write(self, data: bytes, datatype: int | None = None) -> None:
        raise AssertionError("nothing is written")


def test_what_is_kept_for_a_slow_program_does_not_grow() -> None:
    async def story() -> None:
        channel = Endless()
        pump = channel.input = Input(asyncio.get_running_loop(), channel)
        reader, writer = os.pipe()
        for fd in (reader, writer):
            os.set_blocking(fd, False)
        pump.attach(writer)
        most = 0
        for _ in range(300):
            channel.send()
            assert channel.paused
            most = max(most, len(channel.kept) * PIECE + len(pump._kept))
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 64 << 10)
            for _ in range(3):  # the loop sees that the pipe has room
                await asyncio.sleep(0)
        assert most <= 2 * WINDOW + HIGH_BYTES
        pump.close()
        os.close(reader)

    asyncio.run(story())


@pytest.mark.integration
def test_all_of_it_arrives_though_the_program_reads_late() -> None:
    async def story() -> None:
        async with embedded() as held:
            sent = os.urandom(1 << 10) * (12 << 10)
            slow = "sleep 0.2; for i in 1 2 3 4 5 6; do head -c 1000000; sleep 0.02; done; cat"
            ended = await held.ssh(slow, stdin=sent)
            assert ended.out == sent

    asyncio.run(story())

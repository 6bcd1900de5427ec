"""A MuxPi's STM on a pseudo terminal, for drivers that want a port to open. Its faults can be had.

`StmSimulator.path` is what a driver opens; `StmSimulator.stm` is the state to look at.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections import Counter
from enum import Enum
from typing import Final, Literal, Self

from dryad.hardware.firmware import Firmware

GARBAGE: Final = b"\x00\xff\x13 #~\r\n\xf0~"


class Fault(Enum):
    """What can be wrong with a command's answer. Echo, long texts and resets are the firmware's."""

    SILENT = "nothing comes, and nothing is done"
    CUT = "half of the answer comes"
    GARBAGE = "noise comes before it"
    PRESSED = "a key is pressed before it"
    HELD = "it comes when `let_go` is called"
    RESET = "the STM restarts instead"


class StmSimulator:
    """A simulated STM behind a port; to be used on a running loop.

    Args:
        stm: the firmware and its state.
        speed: how many times faster than real a tick of power is; 0 waits for `finish_tick`.
    """

    def __init__(self, stm: Firmware | None = None, *, speed: float = 1.0) -> None:
        self.stm = stm or Firmware()
        self.path = ""
        self.received: list[bytes] = []  # the newest 1,000 commands
        self._speed = speed
        self._faults: Counter[Fault] = Counter()
        self._line = bytearray()
        self._held = bytearray()
        self._fds: tuple[int, ...] = ()
        self._tick: asyncio.TimerHandle | None = None

    # --- life
    def open(self) -> str:
        """Makes the port; its path."""
        master, slave = os.openpty()
        # The slave stays open here too: a driver may leave and come back.
        self._fds = (master, slave)
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.path = os.ttyname(slave)
        asyncio.get_running_loop().add_reader(master, self._readable)
        return self.path

    def close(self) -> None:
        """The port is gone, as if its cable had been pulled; idempotent."""
        if self._tick is not None:
            self._tick.cancel()
        fds, self._fds = self._fds, ()
        if fds:
            asyncio.get_running_loop().remove_reader(fds[0])
        for fd in fds:
            os.close(fd)

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # --- faults
    def fail(self, fault: Fault, commands: int = 1) -> None:
        """The next `commands` commands meet `fault`."""
        self._faults[fault] += commands

    def heal(self) -> None:
        """No fault is left; an STM that had crashed is restarted."""
        self._faults.clear()
        if self.stm.crashed:
            self.stm.reset()

    def let_go(self) -> None:
        """Says what was held back."""
        held, self._held = bytes(self._held), bytearray()
        self._say(held)

    def reset(self) -> None:
        """Somebody cuts its power for a moment."""
        if self._tick is not None:
            self._tick.cancel()
        self.stm.reset()
        self._line.clear()

    def press(self, key: Literal[1, 2]) -> None:
        """Somebody presses a key."""
        self._say(self.stm.press(key))

    def say(self, noise: bytes) -> None:
        """Something comes over the wire that nobody asked for."""
        self._say(noise)

    def finish_tick(self) -> None:
        """The tick of power that runs is over."""
        said = self.stm.tick_over()
        self._await_tick()
        self._say(said)

    # --- the wire
    def _readable(self) -> None:
        try:
            data = os.read(self._fds[0], 4096)
        except BlockingIOError:
            return
        for byte in data:
            self._take(bytes((byte,)))

    def _take(self, byte: bytes) -> None:
        if byte not in (b"\n", b"\r"):
            self._line += byte
            fault = None
        else:
            line = bytes(self._line)
            self._line.clear()
            fault = self._next_fault() if line.strip() else None
            if line.strip():
                self.received = [*self.received[-999:], line]
        if fault is None and not self._faults[Fault.SILENT]:
            self._say(self._fed(byte))
        elif fault is Fault.RESET:
            self.reset()
        elif fault is Fault.CUT:
            said = self._fed(byte)
            self._say(said[: len(said) // 2])
        elif fault is Fault.GARBAGE:
            self._say(GARBAGE + self._fed(byte))
        elif fault is Fault.PRESSED:
            self._say(self.stm.press(1) + self._fed(byte))
        elif fault is Fault.HELD:
            self._held += self._fed(byte)

    def _fed(self, byte: bytes) -> bytes:
        said = self.stm.feed(byte)
        self._await_tick()
        return said

    def _next_fault(self) -> Fault | None:
        for fault in Fault:
            if self._faults[fault] > 0:
                self._faults[fault] -= 1
                return fault
        return None

    def _await_tick(self) -> None:
        busy_s, waits = self.stm.busy_s, self._tick is not None and not self._tick.cancelled()
        if busy_s is None:
            if self._tick is not None:
                self._tick.cancel()
                self._tick = None
        elif not waits and self._speed > 0:
            loop = asyncio.get_running_loop()
            self._tick = loop.call_later(busy_s / self._speed, self._tick_due)

    def _tick_due(self) -> None:
        self._tick = None
        self.finish_tick()

    def _say(self, said: bytes) -> None:
        # Who does not read loses what comes, as on a real wire.
        with contextlib.suppress(BlockingIOError):
            if said and self._fds:
                os.write(self._fds[0], said)

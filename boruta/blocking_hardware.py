"""The hardware of a board that is held, for blocking code; see `boruta.hardware`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from boruta import hardware
from boruta.closing import Closing

T = TypeVar("T")


class Call(Protocol):
    """Runs a coroutine on the client's loop, to its end."""

    def __call__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T: ...


class Power:
    """The target's power."""

    def __init__(self, core: hardware.Power, call: Call) -> None:
        self._core = core
        self._call = call

    def on(self) -> None:
        """Gives it power."""
        self._call(self._core.on)

    def off(self) -> None:
        """Takes its power."""
        self._call(self._core.off)

    def tick(self, seconds: float = 1.0) -> None:
        """Takes its power for 0.001 to 30 seconds; it is on afterwards."""
        self._call(lambda: self._core.tick(seconds))

    def is_on(self) -> bool | None:
        """Whether it has power; None: the board cannot tell."""
        return self._call(self._core.is_on)


class Mux:
    """The card between the board and its target."""

    def __init__(self, core: hardware.Mux, call: Call) -> None:
        self._core = core
        self._call = call

    def ts(self) -> None:
        """Gives it to the board."""
        self._call(self._core.ts)

    def dut(self) -> None:
        """Gives it to the target."""
        self._call(self._core.dut)

    def side(self) -> str:
        """Whose it is: ts, dut, or another word for what is neither."""
        return self._call(self._core.side)


class Current:
    """What the target takes."""

    def __init__(self, core: hardware.Current, call: Call) -> None:
        self._core = core
        self._call = call

    def read(self) -> int:
        """In mA."""
        return self._call(self._core.read)

    def record(self, seconds: float, *, every: float = 1.0) -> list[tuple[float, int]]:
        """Reads it for so long: pairs of seconds since the start and mA.

        Args:
            seconds: how long.
            every: seconds between two readings, 0.003 or more; those that come late are left out.
        """
        return self._call(lambda: self._core.record(seconds, every=every))


class Console(Closing):
    """The target's serial line: bytes both ways, until `close`.

    It has a descriptor, so `pexpect.fdpexpect.fdspawn(console)` and `select` work with it.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def read(self, size: int = 65536, *, timeout: float | None = None) -> bytes:
        """What the target says next; nothing at the end.

        Args:
            size: the most bytes.
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: it said nothing.
        """
        self._end.settimeout(timeout)
        return self._end.recv(size)

    def write(self, data: bytes) -> int:
        """Says something to the target; how many bytes went, which is all."""
        self._end.settimeout(None)
        self._end.sendall(data)
        return len(data)

    def expect(self, what: bytes, *, timeout: float = 30.0) -> bytes:
        """Reads on until `what` was said; all that was read.

        Raises:
            TimeoutError: it was not said in time; the text has the end of what was.
            EOFError: the line ended first.
        """
        import time

        said = b""
        until = time.monotonic() + timeout
        while what not in said:
            try:
                more = self.read(timeout=max(0.001, until - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(f"no {what!r} within {timeout:g} s; {said[-200:]!r}") from None
            if not more:
                raise EOFError(f"the console ended without {what!r}; {said[-200:]!r}")
            said += more
        return said

    def fileno(self) -> int:
        """Its descriptor."""
        return self._end.fileno()

    def isalive(self) -> bool:
        """Whether it is open at this end."""
        return self._end.fileno() >= 0

    def close(self) -> None:
        """Lets another one write; idempotent."""
        self._end.close()

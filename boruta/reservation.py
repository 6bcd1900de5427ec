"""A board that is held: run commands on it, copy files, forward ports; `close` gives it back."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from subprocess import CompletedProcess
from typing import BinaryIO, Self

from boruta import holding
from boruta.blocking_hardware import Console, Current, Mux, Power
from boruta.closing import Closing
from boruta.domain.errors import BoardLost
from boruta.domain.types import AccessInfo, Prolonged, ReqID, ReqInfo, WorkerUUID
from boruta.forwarding import Forward
from boruta.loops import LoopThread


class Reservation(Closing):
    """A board that is held until `close`; made by `Client.reserve` and `Farm.reserve`.

    Each method raises BoardLost, with the reason, once the board is lost, taken away or its time
    is up; details have request, worker, state and reason_code.
    """

    def __init__(self, core: holding.Reservation, loop: LoopThread) -> None:
        self._core = core
        self._loop = loop
        self._console: Console | None = None

    @property
    def id(self) -> ReqID:
        """The request that holds the board."""
        return self._core.id

    @property
    def info(self) -> ReqInfo:
        """The request, as it was told last."""
        return self._core.info

    @property
    def access(self) -> AccessInfo:
        """How to reach the board over SSH."""
        return self._core.access

    @property
    def worker_uuid(self) -> WorkerUUID:
        """The board."""
        return self._core.worker_uuid

    @property
    def lost(self) -> BoardLost | None:
        """Why the board is not held any more; None while it is."""
        return self._core.lost

    def run(
        self,
        cmd: str | Sequence[str],
        *,
        timeout: float | None = None,
        check: bool = False,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> CompletedProcess[str]:
        """Runs a command on the board, as `subprocess.run` does here.

        Args:
            cmd: a text is a shell line; a sequence is one command and its arguments, quoted.
            timeout: seconds; the command is killed then.
            check: raise if it fails.
            input: what it reads from its standard input.
            env: variables that it finds set.

        Returns:
            Its status (negative: the number of the signal that ended it) and output as text.

        Raises:
            subprocess.TimeoutExpired: it did not end in time.
            subprocess.CalledProcessError: it failed, and `check` was given.
            BoardLost: the board was lost meanwhile.
        """
        return self._loop.call(
            lambda: self._core.run(cmd, timeout=timeout, check=check, input=input, env=env)
        )

    def stream(
        self,
        cmd: str | Sequence[str],
        *,
        stdin: int | None = None,
        stdout: BinaryIO | None = None,
        stderr: BinaryIO | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Runs a command whose output goes where this process's goes, as it comes.

        Args:
            cmd: as for `run`.
            stdin: a file descriptor that it reads from; None: nothing.
            stdout: where its output goes; None: this process's own.
            stderr: where its errors go; None: this process's own.
            env: variables that it finds set.

        Returns:
            Its status; negative: the number of the signal that ended it.

        Raises:
            BoardLost: the board was lost meanwhile.
        """
        return self._loop.call(
            lambda: self._core.stream(cmd, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
        )

    def put(self, local: str | os.PathLike[str], remote: str = "") -> None:
        """Copies a file, or a directory with all in it, to the board.

        Args:
            local: what is copied.
            remote: where to, from the home; empty, or a directory: under its own name there.
        """
        self._loop.call(lambda: self._core.put(local, remote))

    def get(self, remote: str, local: str | os.PathLike[str] = ".") -> None:
        """Copies a file, or a directory with all in it, from the board.

        Args:
            remote: what is copied, from the home.
            local: where to; a directory: under its own name there.

        Raises:
            NotFoundError: the board has no such file.
        """
        self._loop.call(lambda: self._core.get(remote, local))

    def forward(
        self, port: int, host: str = "localhost", *, local_port: int = 0
    ) -> BlockingForward:
        """Makes a port of the board's side reachable here, until it is closed.

        Args:
            port: the port there.
            host: the host there, as the board sees it.
            local_port: the port on this machine's loopback; 0: any free one.

        Returns:
            The local port, an int with `close()`, for ``with`` too.
        """

        async def make() -> Forward:
            return await self._core.forward(port, host, local_port=local_port)

        opened = self._loop.call(make, undo=lambda late: late.close())
        return BlockingForward.on(opened, self._loop)

    def shell(self) -> int:
        """A shell on the board on this process's terminal; its exit status.

        It is OpenSSH's client, if this machine has it.
        """
        return self._loop.call(self._core.shell)

    @property
    def power(self) -> Power:
        """The target's power."""
        return Power(self._core.power, self._loop.call)

    @property
    def mux(self) -> Mux:
        """The card between the board and its target."""
        return Mux(self._core.mux, self._loop.call)

    @property
    def current(self) -> Current:
        """What the target takes."""
        return Current(self._core.current, self._loop.call)

    def led(self, which: int, red: int, green: int, blue: int) -> None:
        """Sets LED 1 or 2; each colour 0 to 255."""
        self._loop.call(lambda: self._core.led(which, red, green, blue))

    def text(self, text: str) -> None:
        """Shows `text` on the display; nothing clears it."""
        self._loop.call(lambda: self._core.text(text))

    @property
    def console(self) -> Console:
        """The target's serial line, read and written; opened when it is first used."""
        if self._console is None or not self._console.isalive():
            self._console = self.open_console()
        return self._console

    def open_console(self, *, write: bool = True) -> Console:
        """The target's serial line anew, for ``with`` too.

        Args:
            write: one at a time may; else it is only looked at.
        """
        return Console(
            self._loop.call(
                lambda: self._core.open_console(write=write), undo=lambda late: _shut(late)
            )
        )

    def prolong(self) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits.

        Raises:
            ProlongLimit: as often, or as long, as is allowed; the text says what is left.
        """
        return self._loop.call(self._core.prolong)

    def close(self) -> None:
        """Gives the board back; idempotent."""
        if self._console is not None:
            self._console.close()
        if self._loop.usable:
            self._loop.call(self._core.close)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "held"
        return f"<Reservation of request {self.id}: board {self.worker_uuid}, {state}>"


async def _shut(late: socket.socket) -> None:
    late.close()


class BlockingForward(int, Closing):
    """The local port, on this machine's loopback, as an int; `close` ends the forwarding."""

    _forward: Forward
    _loop: LoopThread

    @classmethod
    def on(cls, forward: Forward, loop: LoopThread) -> Self:
        """The same forwarding, for a thread that is not the loop's."""
        made = cls(forward)
        made._forward, made._loop = forward, loop
        return made

    @property
    def port(self) -> int:
        """The local port."""
        return int(self)

    def close(self) -> None:
        """Listens no more; idempotent."""
        if self._loop.usable:
            self._loop.call(self._forward.close)

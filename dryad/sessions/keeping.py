"""The agent's end of the keeper: starts it, has it spawn programs, has it end them all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boruta.domain.errors import BoardLost, SessionAlive
from dryad.sessions import keeper
from dryad.sessions.keeper import HEADER

ANSWER_WITHIN_S = keeper.SURVIVORS_AFTER_S + 1.0  # a keeper that says nothing at all


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, as the holder asked for it.

    Attributes:
        path: the executable.
        argv: its arguments, the name first.
        env: its whole environment.
        cwd: where it starts.
    """

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str


class Child:
    """A program that the keeper started.

    Attributes:
        exited: its wait status; a `BoardLost` if it could not be started or the keeper is gone.
        pid: its process id, 0 until the keeper told it.
    """

    def __init__(self, number: int, exited: asyncio.Future[int]) -> None:
        self.number = number
        self.exited = exited
        self.pid = 0


class Keeping:
    """One running keeper, from the agent's side. Use `start`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._process = process
        self._control = control
        self._on_lost = on_lost
        self._children: dict[int, Child] = {}  # as many as there are live programs
        self._last = 0
        self._out: list[tuple[bytes, list[int]]] = []  # bounded by what one holder starts at once
        self._in = b""
        self._ending = False
        self._answer: asyncio.Future[list[int]] | None = None
        self._gone: asyncio.Future[bool] = loop.create_future()  # True: all is clean
        self._clean = False
        loop.add_reader(control, self._readable)

    @classmethod
    async def start(cls, on_lost: Callable[[], None]) -> Keeping:
        """Starts the process; `on_lost` is called if it ends before it was told to.

        Raises:
            BoardLost: it cannot be started.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-I",
            "-S",
            keeper.__file__,
            str(theirs.fileno()),
            str(os.getpid()),
        ]

        def popen() -> subprocess.Popen[bytes]:
            # Its own session: a Ctrl-C in the agent's terminal is none for the keeper.
            return subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

        try:
            process = await loop.run_in_executor(None, popen)
        except OSError as error:
            ours.close()
            raise BoardLost(f"cannot start the session's keeper: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        return cls(loop, process, ours, on_lost)

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def spawn(self, program: Program, descriptors: Sequence[int], *, tty: bool) -> Child:
        """Has `program` started with `descriptors` as its 0, 1 and 2; they are duplicated.

        Args:
            program: what to run.
            descriptors: three of them; the caller closes his.
            tty: the first is a terminal that becomes the controlling one.
        """
        self._last += 1
        child = Child(self._last, self._loop.create_future())
        # Nobody may be left who asks.
        child.exited.add_done_callback(lambda future: future.cancelled() or future.exception())
        if self._gone.done() or self._ending:
            child.exited.set_exception(BoardLost("the session is ending"))
            return child
        self._children[child.number] = child
        message = {
            "do": "spawn",
            "id": child.number,
            "path": program.path,
            "cwd": program.cwd,
            "argv": list(program.argv),
            "env": dict(program.env),
            "fds": len(descriptors),
            "tty": tty,
        }
        self._send(message, [os.dup(descriptor) for descriptor in descriptors])
        return child

    def signal(self, child: Child, number: int) -> None:
        """Sends a signal to the child's process group, if it has not ended."""
        if not child.exited.done():
            self._send({"do": "signal", "id": child.number, "signal": number}, [])

    async def end(self) -> None:
        """Has every process below the keeper killed; the keeper then ends too.

        Raises:
            SessionAlive: some survive; the keeper goes on trying, and so may the caller.
        """
        if not self._gone.done():
            self._answer = self._loop.create_future()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)  # a holder may have stopped it
            if not self._ending:
                self._ending = True
                self._send({"do": "end"}, [])
            waiting: set[asyncio.Future[Any]] = {self._answer, self._gone}
            await asyncio.wait(
                waiting, timeout=ANSWER_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if self._answer.done():
                raise SessionAlive("processes survive SIGKILL", pids=self._answer.result())
            if not self._gone.done():
                # It hangs: its children at first hand die with it, the caller sweeps the rest.
                self._process.kill()
        await self._gone

    @property
    def clean(self) -> bool:
        """The keeper said itself that no process is left."""
        return self._clean

    def _send(self, message: dict[str, Any], descriptors: list[int]) -> None:
        body = json.dumps(message).encode()
        self._out.append((HEADER.pack(len(body)) + body, descriptors))
        self._flush()

    def _flush(self) -> None:
        while self._out:
            data, descriptors = self._out[0]
            try:
                sent = socket.send_fds(self._control, [data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._flush)
                return
            except OSError:  # the reader will see that it is gone
                break
            for descriptor in descriptors:
                os.close(descriptor)
            self._out[0] = (data[sent:], [])
            if sent == len(data):
                self._out.pop(0)
        self._loop.remove_writer(self._control)

    def _readable(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._in += data
        while len(self._in) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._in)[0]
            if len(self._in) < end:
                break
            body, self._in = self._in[HEADER.size : end], self._in[end:]
            self._heard(json.loads(body))
        if not data:
            self._lost()

    def _heard(self, message: dict[str, Any]) -> None:
        if "survivors" in message:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(message["survivors"])
        elif "clean" in message:
            self._clean = True
        elif "pid" in message:
            self._children[message["id"]].pid = message["pid"]
        else:
            exited = self._children.pop(message["id"]).exited
            if exited.done():  # who waited was cancelled, and this with him
                return
            if "error" in message:
                exited.set_exception(BoardLost(f"cannot start: {message['error']}"))
            else:
                exited.set_result(message["status"])

    def _lost(self) -> None:
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        for _, descriptors in self._out:
            for descriptor in descriptors:
                os.close(descriptor)
        self._out.clear()
        for child in self._children.values():
            if not child.exited.done():
                child.exited.set_exception(BoardLost("the session's keeper is gone"))
        self._children.clear()
        self._loop.run_in_executor(None, self._process.wait).add_done_callback(self._reaped)

    def _reaped(self, _: asyncio.Future[int]) -> None:
        self._gone.set_result(self._clean)
        if not self._ending:
            self._on_lost()

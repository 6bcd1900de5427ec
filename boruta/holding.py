"""A board that is held: from asking for it to giving it back, as coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, TypeVar

from boruta.domain.errors import BoardLost, BorutaError, NotFoundError, ShuttingDown, Unreachable
from boruta.domain.types import AccessInfo, Prolonged, ReqID, ReqInfo, WorkerUUID
from boruta.hardware import OPENED, WithHardware, told_by
from boruta.opening import Opening
from boruta.shell_line import shell_line
from boruta.watching import lost

if TYPE_CHECKING:
    from boruta.aio import Client
    from boruta.forwarding import Forward
    from boruta.sshlink import SshLink

T = TypeVar("T")
REASON_WITHIN_S: Final = 3.0  # after a broken connection: how long the server may take to say why
CANCEL_WITHIN_S: Final = 5.0  # for what is under way to let go


class Reservation(WithHardware):
    """A board that is held until `close`; made by `Client.reserve`.

    Each method raises BoardLost, with the reason, once the board is lost, taken away or its time
    is up; details have request, worker, state and reason_code.
    """

    def __init__(self, client: Client, info: ReqInfo, access: AccessInfo, *, owned: bool) -> None:
        self._client = client
        self._requests = client.requests
        self._info = info
        self._access = access
        self._owned = owned
        self._closed = False
        self._link: SshLink | None = None
        self._gone: asyncio.Future[BoardLost] = asyncio.get_running_loop().create_future()

    async def begin(self) -> None:
        """Watches over the request from now on."""
        self._client.keep(self)
        await self._client.watch.add(self.id, self._noticed)

    @property
    def id(self) -> ReqID:
        """The request that holds the board."""
        return self._info.id

    @property
    def info(self) -> ReqInfo:
        """The request, as it was told last."""
        return self._info

    @property
    def access(self) -> AccessInfo:
        """How to reach the board over SSH."""
        return self._access

    @property
    def worker_uuid(self) -> WorkerUUID:
        """The board."""
        return "" if self._info.job is None else self._info.job.worker_uuid

    @property
    def lost(self) -> BoardLost | None:
        """Why the board is not held any more; None while it is."""
        return self._gone.result() if self._gone.done() else None

    # --- what is done with it
    async def run(
        self,
        cmd: str | Sequence[str],
        *,
        timeout: float | None = None,
        check: bool = False,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
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
        from boruta.sshlink import Overdue

        line = shell_line(cmd, env)
        data = input.encode() if isinstance(input, str) else input
        try:
            done = await self._guard(self._ssh().run(line, data, timeout), "a command ran")
        except Overdue as late:
            raise subprocess.TimeoutExpired(
                cmd, timeout or 0.0, _text(late.stdout), _text(late.stderr)
            ) from None
        found = subprocess.CompletedProcess(
            cmd, done.returncode, _text(done.stdout), _text(done.stderr)
        )
        if check:
            found.check_returncode()
        return found

    async def stream(
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
        line = shell_line(cmd, env)
        out = sys.stdout.buffer if stdout is None else stdout
        err = sys.stderr.buffer if stderr is None else stderr
        return await self._guard(self._ssh().stream(line, stdin, out, err), "a command ran")

    async def put(self, local: str | os.PathLike[str], remote: str = "") -> None:
        """Copies a file, or a directory with all in it, to the board.

        Args:
            local: what is copied.
            remote: where to, from the home; empty, or a directory: under its own name there.
        """
        await self._guard(self._ssh().put(local, remote), "files were copied")

    async def get(self, remote: str, local: str | os.PathLike[str] = ".") -> None:
        """Copies a file, or a directory with all in it, from the board.

        Args:
            remote: what is copied, from the home.
            local: where to; a directory: under its own name there.

        Raises:
            NotFoundError: the board has no such file.
        """
        await self._guard(self._ssh().get(remote, local), "files were copied")

    def forward(
        self, port: int, host: str = "localhost", *, local_port: int = 0
    ) -> Opening[Forward]:
        """Makes a port of the board's side reachable here: ``await`` it, or ``async with`` it.

        Args:
            port: the port there.
            host: the host there, as the board sees it.
            local_port: the port on this machine's loopback; 0: any free one.

        Returns:
            The local port, an int with `close()`.
        """
        from boruta.forwarding import Forward

        async def make() -> Forward:
            opened = self._ssh().forward(host, port, local_port)
            return Forward.over(await self._guard(opened, "a port was forwarded"))

        return Opening(make)

    async def shell(self) -> int:
        """A shell on the board on this process's terminal; its exit status.

        It is OpenSSH's client, if this machine has it.
        """
        from boruta.terminal import interactive

        return await self._guard(interactive(self._ssh(), self._access), "a shell was open")

    async def open_console(self, *, write: bool = True) -> socket.socket:
        """The target's serial line as a socket of bytes; closing it ends that.

        Args:
            write: one at a time may; else it is only looked at.
        """
        from boruta.sshlink import Unopened

        line = "board console" if write else "board console --read"
        try:
            return await self._guard(self._ssh().joined(line, OPENED), "a console was opened")
        except Unopened as said:
            raise told_by(str(said)) from None

    async def prolong(self) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits.

        Raises:
            ProlongLimit: as often, or as long, as is allowed; the text says what is left.
        """
        self._check_held()
        return await self._requests.prolong_access(self.id, token=secrets.token_hex(16))

    # --- the end
    async def close(self) -> None:
        """Gives the board back; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._client.watch.remove(self.id)
        self._client.drop(self)
        if self._link is not None:
            if self._gone.done():
                self._link.abort()
            await self._link.close()
        if self._owned and not self._gone.done():
            from boruta.reserving import release

            await release(self._requests, self.id, self._info.bound)

    async def end(self) -> None:
        """What becomes of it when its client closes: what is not bound lives on."""
        if not self._info.bound:
            self._owned = False
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- the watch
    def _noticed(self, told: ReqInfo | BorutaError, kind: str) -> None:
        if isinstance(told, ReqInfo):
            self._info = told
            if told.state.ended:
                self._lose(lost(told))
        else:
            self._lose(
                BoardLost(
                    f"request {self.id} is not known to the server any more: {told}",
                    request=self.id,
                    worker=self.worker_uuid,
                )
            )

    def _lose(self, why: BoardLost) -> None:
        if not self._gone.done():
            self._gone.set_result(why)
            if self._link is not None:
                self._link.abort()

    def _check_held(self) -> None:
        if self._closed:
            raise ShuttingDown(f"the reservation of request {self.id} is closed")
        if self._gone.done():
            raise self._gone.result()

    def _ssh(self) -> SshLink:
        self._check_held()
        if self._link is None:
            from boruta.sshlink import SshLink

            self._link = SshLink(self._access)
        return self._link

    async def _guard(self, doing: Coroutine[Any, Any, T], what: str) -> T:
        """The result of `doing`, or why the board was lost meanwhile; never a hang."""
        from boruta.sshlink import LinkBroken

        task = asyncio.ensure_future(doing)
        either: list[asyncio.Future[Any]] = [task, self._gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_WITHIN_S)
        try:
            return task.result()
        except (LinkBroken, asyncio.CancelledError) as broken:
            if self._closed and not self._gone.done():
                raise ShuttingDown(f"request {self.id} was closed while {what}") from None
            raise await self._why(broken, what) from broken

    async def _why(self, broken: BaseException, what: str) -> BorutaError:
        """The connection broke: the server knows why, at once or in a moment."""
        until = asyncio.get_running_loop().time() + REASON_WITHIN_S
        silent: BorutaError | None = None
        while not self._gone.done() and asyncio.get_running_loop().time() < until:
            try:
                async with asyncio.timeout(REASON_WITHIN_S):
                    info = await self._requests.get_request_info(self.id)
            except NotFoundError as error:
                self._noticed(error, "gone")
            except TimeoutError:
                silent = Unreachable("the server does not answer")
            except BorutaError as error:
                silent = error
            else:
                silent = None
                self._noticed(info, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(self._gone)
        if self._gone.done():
            return self._gone.result()
        text = f"the connection to the board of request {self.id} was lost while {what}: {broken}"
        if silent is not None:
            return Unreachable(f"{text}; the server is out of reach too: {silent}")
        reason = self._info.reason or "the request still holds it"
        return BoardLost(
            f"{text}; {reason}",
            request=self.id,
            worker=self.worker_uuid,
            state=self._info.state.value,
        )


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")

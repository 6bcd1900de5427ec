"""The SSH connection of a reservation, over asyncssh: the one place that knows its errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import asyncssh

from boruta.domain.errors import ActionRefused, InfraError, NotFoundError, NotPermitted
from boruta.domain.types import AccessInfo
from boruta.ssh import checked

CONNECT_WITHIN_S: Final = 10.0
KEEPALIVE_S: Final = 15.0  # four of them: the grace that a board out of reach has anyway
KEEPALIVES: Final = 4
TRIES_S: Final = (0.2, 0.5, 1.0, 2.0)  # a board that is just coming back may refuse at first
CLOSE_WITHIN_S: Final = 1.0


class LinkBroken(Exception):
    """The connection could not be made, or ended; why is for the server to say."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended. A negative `returncode` is a signal's number."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Overdue(Exception):
    """The command did not end in time; what it wrote so far."""

    def __init__(self, stdout: bytes, stderr: bytes) -> None:
        super().__init__("the command did not end in time")
        self.stdout = stdout
        self.stderr = stderr


class Unopened(Exception):
    """A command whose stream was wanted said why there is none."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of SSH and SFTP become ours; those of local files stay what they are."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise InfraError(
            "the machine that answers shows another host key than the board registered; "
            f"nothing was sent to it ({error.reason})"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise LinkBroken("the board does not let the job's key in") from error
    except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost) as error:
        raise LinkBroken(f"the connection was lost ({error.reason})") from error
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise NotFoundError(f"on the board: {error.reason}") from error
    except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect) as error:
        raise NotPermitted(f"on the board: {error.reason}") from error
    except asyncssh.SFTPError as error:
        raise InfraError(f"on the board: {error.reason}") from error
    except asyncssh.ChannelOpenError as error:
        raise LinkBroken(f"the board opens no channel ({error.reason})") from error
    except asyncssh.DisconnectError as error:
        raise LinkBroken(error.reason or "the connection was lost") from error
    except asyncssh.Error as error:
        raise InfraError(f"SSH to the board: {error}") from error


class SshLink:
    """One connection to the board of one job; made when needed, made again if it was lost."""

    def __init__(self, access: AccessInfo) -> None:
        self.access = access
        self._connection: asyncssh.SSHClientConnection | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._joined: set[asyncio.Task[None]] = set()  # as many as consoles are open

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._opening:
            if self._connection is not None and not self._connection.is_closed():
                return self._connection
            for pause in (*TRIES_S, None):
                try:
                    self._connection = await self._connect()
                    break
                except LinkBroken as error:
                    denied = isinstance(error.__cause__, asyncssh.PermissionDenied)
                    if pause is None or denied or self._closed:
                        raise
                    await asyncio.sleep(pause)
            assert self._connection is not None
            return self._connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        access = checked(self.access)
        try:
            with translated():
                keys = [asyncssh.import_public_key(line) for line in access.host_keys]
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    return await asyncssh.connect(
                        access.host,
                        access.port,
                        username=access.username,
                        client_keys=[asyncssh.import_private_key(access.key)],
                        known_hosts=(keys, [], []),
                        config=None,
                        agent_path=None,
                        preferred_auth="publickey",
                        gss_host=None,
                        encryption_algs=[
                            "aes128-gcm@openssh.com",
                            "chacha20-poly1305@openssh.com",
                            "aes256-gcm@openssh.com",
                            "aes128-ctr",
                        ],
                        compression_algs=None,
                        keepalive_interval=KEEPALIVE_S,
                        keepalive_count_max=KEEPALIVES,
                    )
        except TimeoutError:
            raise LinkBroken(
                f"{access.host}:{access.port} did not answer in {CONNECT_WITHIN_S:g} s"
            ) from None
        except OSError as error:
            raise LinkBroken(f"{access.host}:{access.port}: {error.strerror or error}") from error
        except asyncssh.KeyImportError as error:
            raise InfraError(f"a key of the job cannot be read: {error}") from error

    async def _process(
        self, line: str | None, **options: object
    ) -> asyncssh.SSHClientProcess[bytes]:
        """Starts a command; a connection that was lost unnoticed is made anew once."""
        for last in (False, True):
            connection = await self._connected()
            try:
                return await connection.create_process(line, encoding=None, **options)
            except asyncssh.ChannelOpenError:
                if last or not connection.is_closed():
                    raise
        raise AssertionError("unreachable")

    async def run(self, line: str, input: bytes | None, timeout: float | None) -> Finished:
        """Runs one shell line to its end.

        Raises:
            Overdue: it did not end in time; it was killed.
            LinkBroken: the connection ended before the command did.
        """
        with translated():
            stdin = asyncssh.PIPE if input else asyncssh.DEVNULL
            process = await self._process(line, stdin=stdin)
            try:
                async with asyncio.timeout(timeout):
                    stdout, stderr = await process.communicate(input or None)
            except TimeoutError:
                stdout, stderr = process.collect_output()
                raise Overdue(stdout or b"", stderr or b"") from None
            finally:
                _kill(process)
        status = process.returncode
        if status is None:
            raise LinkBroken("the connection ended before the command did")
        return Finished(status, stdout or b"", stderr or b"")

    async def stream(
        self, line: str, source: int | None, stdout: BinaryIO, stderr: BinaryIO
    ) -> int:
        """Runs one shell line with this process's own input and output; its return code.

        Raises:
            LinkBroken: the connection ended before the command did.
        """
        from boruta.streaming import joined

        with translated():
            stdin = asyncssh.DEVNULL if source is None else asyncssh.PIPE
            process = await self._process(line, stdin=stdin)
            try:
                await joined(process, source, stdout, stderr)
            finally:
                _kill(process)
        if process.returncode is None:
            raise LinkBroken("the connection ended before the command did")
        return process.returncode

    async def joined(self, line: str, opened: bytes) -> socket.socket:
        """Runs one shell line; the socket's other end is all that it reads and says.

        Args:
            line: the shell line.
            opened: the line on its stderr that says that it is at work.

        Raises:
            Unopened: it said something else.
            LinkBroken: the connection ended before the command began.
        """
        with translated():
            process = await self._process(line)
            head = await process.stderr.readline()
            if head != opened:
                raise Unopened((head + await process.stderr.read()).decode("utf-8", "replace"))
        from boruta.streaming import as_socket

        ours, pumping = await as_socket(process)
        self._joined.add(pumping)
        pumping.add_done_callback(self._joined.discard)
        return ours

    async def put(self, local: str | os.PathLike[str], remote: str) -> None:
        """Copies a file or a directory to the board, modes and times too."""
        # A missing one is the caller's: an OSError of his own machine.
        recurse = stat.S_ISDIR(os.stat(local).st_mode)
        async with self._sftp() as sftp:
            await sftp.put(
                os.fspath(local),
                remote_path(remote) if remote else _own_name(local),
                preserve=True,
                recurse=recurse,
                follow_symlinks=not recurse,
            )

    async def get(self, remote: str, local: str | os.PathLike[str]) -> None:
        """Copies a file or a directory from the board, times too, and modes but for set-uid."""
        left_out: list[str] = []

        def failed(error: Exception) -> None:
            # A link out of the directory, or a name that is none: the rest is copied all the same.
            if not isinstance(error, asyncssh.SFTPBadMessage):
                raise error
            name = os.fsdecode(getattr(error, "srcpath", b""))
            left_out.append(f"{name!r} ({error.reason})")

        async with self._sftp() as sftp:
            _plain_modes(sftp)
            path = remote_path(remote) or b"."
            recurse = await sftp.isdir(path)
            await sftp.get(
                path,
                os.fspath(local),
                preserve=True,
                recurse=recurse,
                follow_symlinks=not recurse,
                error_handler=failed,
            )
        if left_out:
            more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
            raise ActionRefused(
                f"not copied from the board: {', '.join(left_out[:3])}{more}; the rest was"
            )

    @contextlib.asynccontextmanager
    async def _sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        with translated():
            connection = await self._connected()
            async with connection.start_sftp_client() as sftp:
                yield sftp

    async def forward(self, host: str, port: int, local_port: int) -> asyncssh.SSHListener:
        """Listens on this machine's loopback; connections come out on the board's side."""
        with translated():
            connection = await self._connected()
            return await connection.forward_local_port("127.0.0.1", local_port, host, port)

    async def terminal(self, size: tuple[int, int], kind: str) -> asyncssh.SSHClientProcess[bytes]:
        """A login shell with a terminal."""
        with translated():
            return await self._process(None, term_type=kind, term_size=size, stderr=asyncssh.STDOUT)

    def abort(self) -> None:
        """Ends the connection at once, without a word; it is not made again."""
        self._closed = True
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """Ends the connection."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await connection.wait_closed()
        except (TimeoutError, asyncssh.Error, OSError):
            connection.abort()


def remote_path(text: str) -> bytes:
    """A path for SFTP, which knows no `~`: relative ones start at the home anyway.

    As bytes: a name need not be UTF-8. One that begins with `~` is a name like others.
    """
    if text in ("~", "~/"):
        return b"."
    path = os.fsencode(text.removeprefix("~/"))
    return b"./" + path if path.startswith(b"~") else path


def _own_name(local: str | os.PathLike[str]) -> bytes:
    return remote_path("./" + os.path.basename(os.path.abspath(local)))


def _plain_modes(sftp: asyncssh.SFTPClient) -> None:
    """What is copied from here gets no bit that gives a program its owner's rights, or a group's.

    On this machine the owner is whoever fetches it, and what a board has is the holder's to choose.
    """
    stat_as_it_is = sftp.stat

    async def plain(*args: Any, **options: Any) -> asyncssh.SFTPAttrs:
        found = await stat_as_it_is(*args, **options)
        if found.permissions is not None:
            found.permissions &= ~(stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
        return found

    sftp.stat = plain  # type: ignore[method-assign]


def _kill(process: asyncssh.SSHClientProcess[bytes]) -> None:
    if process.returncode is None and not process.is_closing():
        with contextlib.suppress(asyncssh.Error, OSError):
            process.kill()
    process.close()

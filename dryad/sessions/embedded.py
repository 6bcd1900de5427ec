"""Sessions served by the agent itself: an SSH server in its own process, no root, no account.

Holders run as the agent's user: it must trust them (SAFETY C2; the agent's config decides).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boruta.domain.errors import SessionAlive
from dryad.sessions import keys, library
from dryad.sessions.home import find_shell
from dryad.sessions.listening import BACKLOG, KEEPALIVE_S, LOGIN_WITHIN_S, listen, name_of
from dryad.sessions.stay import Stay, sweep_former

if TYPE_CHECKING:
    import asyncssh

log = logging.getLogger("dryad.sessions")

# AES-GCM first: with the CPU's help it is several times as fast as chacha20.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)


@dataclass(frozen=True, slots=True)
class Place:
    """What does not change from one holder to the next.

    Attributes:
        username: the only name that may log in.
        shell: runs commands and is the interactive shell.
        hardware_env: more environment, by which programs find the board's hardware.
        threads: where file operations wait.
    """

    username: str
    shell: str
    hardware_env: Mapping[str, str]
    threads: Executor


class EmbeddedSessions:
    """`Sessions` by asyncssh. Any number of them live in one process.

    Args:
        address: where to listen, ``host:port``; an empty host is all of them, port 0 a free one.
        data: the agent's directory: `host_key` and the homes live in it.
        username: the only name that may log in.
        hardware_env: more environment for the holder's programs.
    """

    def __init__(
        self,
        *,
        address: str,
        data: Path,
        username: str,
        hardware_env: Mapping[str, str] | None = None,
    ) -> None:
        self.username = username
        self._address = address
        self._data = data
        self._homes = data / "homes"
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="dryad-files")
        self._place = Place(username, find_shell(), dict(hardware_env or {}), self._threads)
        self._host_key = ""
        self._socket: socket.socket | None = None
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._opening: asyncio.Task[None] | None = None
        self._knocking: dict[asyncssh.SSHServerConnection, None] = {}
        self._stay: Stay | None = None
        self._letting_in = asyncio.Lock()

    async def start(self) -> str:
        """See `Sessions`. What a former life of the agent left is ended and removed first.

        Raises:
            BadAddress: it is no address, or it cannot be bound.
            BadConfig: the host key, or the asyncssh that is here, cannot be used.
            SessionAlive: something of a former session survives.
        """
        library.check()  # before anybody is let in, though it is loaded only then
        loop = asyncio.get_running_loop()
        if trouble := await loop.run_in_executor(None, sweep_former, self._homes):
            raise SessionAlive("; ".join(trouble))
        path = self._data / "host_key"
        if not path.exists():
            await loop.run_in_executor(None, keys.make, path)
        self._host_key = keys.public_line(path)
        self._socket = listen(self._address)
        # asyncssh costs 18 MB and a tenth of a second (a second on a small board): an agent that
        # nobody logs in to does without. The first connection waits in the backlog meanwhile.
        loop.add_reader(self._socket, self._first_connection)
        return name_of(self._socket, self._address)

    @property
    def host_keys(self) -> tuple[str, ...]:
        """See `Sessions`; known after `start`."""
        return (self._host_key,)

    @property
    def active(self) -> bool:
        """See `Sessions`."""
        return self._stay is not None and self._stay.active

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """See `Sessions`."""
        blob = keys.public_blob(key)
        async with self._letting_in:
            await self.end()
            self._stay = await Stay.open(self._homes, blob, epoch, on_login)

    async def end(self) -> None:
        """See `Sessions`."""
        stay = self._stay
        if stay is not None:
            await stay.end()
            if self._stay is stay:
                self._stay = None

    async def stop(self) -> None:
        """See `Sessions`."""
        try:
            await self.end()
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._opening is not None:
            await asyncio.wait({self._opening})
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
            self._acceptor = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for connection in list(self._knocking):
            connection.abort()
        self._threads.shutdown(wait=False)

    def _first_connection(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, _load)
            import asyncssh

            from dryad.sessions.door import Door

            host_key = asyncssh.read_private_key(self._data / "host_key")
            assert self._socket is not None
            self._acceptor = await asyncssh.listen(
                sock=self._socket,
                server_factory=lambda: Door(self._stay, self._place, self._knocking),
                # A loaded key: a path would be read and checked anew for each connection (60 ms).
                server_host_keys=[host_key],
                encryption_algs=CIPHERS,
                compression_algs=None,
                encoding=None,
                line_editor=False,
                agent_forwarding=False,
                x11_forwarding=False,
                login_timeout=LOGIN_WITHIN_S,
                keepalive_interval=KEEPALIVE_S,
                gss_host=None,
                backlog=BACKLOG,
            )
            self._socket = None  # the acceptor's now
        except Exception:
            log.exception("ssh_server_failed")


def _load() -> None:
    # At INFO it logs the holder's commands, which may hold secrets of his.
    library = logging.getLogger("asyncssh")
    if library.level == logging.NOTSET:
        library.setLevel(logging.WARNING)
    import dryad.sessions.door  # noqa: F401 - loads asyncssh in a thread

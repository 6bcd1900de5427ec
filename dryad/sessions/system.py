"""Sessions by real OpenSSH: an account of the system's, and an `sshd -i` for each connection.

The agent only accepts connections; all that speaks with a holder, or runs for him, is a process of
its own in the holder's control group. It runs as root, which making an account needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig, BorutaError, SessionAlive
from dryad.logs import event
from dryad.sessions import account as accounts
from dryad.sessions import cgroup, keys, sshd, traces
from dryad.sessions.home import PATH
from dryad.sessions.limits import Limits
from dryad.sessions.listening import CONNECTIONS, KNOCKING, listen, name_of
from dryad.sessions.place import Place

_log = logging.getLogger("dryad.sessions")

_LINE: Final = 1 << 12  # bytes of one line of sshd's log


class _Stay:
    """One holder's stay: made by `let_in`, over for good with `end`."""

    def __init__(self, on_login: Callable[[], None]) -> None:
        self.on_login = on_login
        self.active = False
        self.over = False
        self.knocking: dict[asyncio.subprocess.Process, None] = {}  # in order of arrival
        self.inside: set[asyncio.subprocess.Process] = set()
        self.warden: subprocess.Popen[bytes] | None = None
        self.ending: asyncio.Task[None] | None = None

    def cut(self) -> None:
        """Kills the servers of his connections."""
        for process in (*self.knocking, *self.inside):
            _kill(process)


class SystemSessions:
    """`Sessions` by an account and OpenSSH.

    Args:
        address: where to listen, ``host:port``; an empty host is all of them, port 0 a free one.
        data: the agent's directory: `host_key` lives in it.
        username: of the account.
        groups: its supplementary groups.
        limits: what a holder may take.
        hardware_env: more environment for the holder's programs.
        run: a directory of root's own that lives as long as the machine.
        shared: directories where anybody may write.
    """

    def __init__(
        self,
        *,
        address: str,
        data: Path,
        username: str,
        groups: Sequence[str] = (),
        limits: Limits | None = None,
        hardware_env: Mapping[str, str] | None = None,
        run: Path = Path("/run/dryad"),
        shared: Sequence[str] = traces.SHARED,
    ) -> None:
        self.username = username
        self._address = address
        self._data = data
        self._user_groups = tuple(groups)
        self._limits = limits or Limits()
        self._env = dict(hardware_env or {})
        self._run = run
        self._shared = shared
        self._place: Place | None = None
        self._host_key = ""
        self._lock = -1
        self._socket: socket.socket | None = None
        self._stay: _Stay | None = None
        self._letting_in = asyncio.Lock()
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """See `Sessions`. What a former life of the agent left is ended and removed first.

        Raises:
            BadAddress: it is no address, or it cannot be bound.
            BadConfig: the agent is not root, there is no sshd, or the account is somebody's.
            Busy: another agent has the account.
            InfraError: the account cannot be made.
            SessionAlive: something of a former session survives.
        """
        loop = asyncio.get_running_loop()
        try:
            trouble = await loop.run_in_executor(None, self._prepare)
            if trouble:
                raise SessionAlive("; ".join(trouble))
            self._host_key = keys.public_line(self._data / "host_key")
            self._socket = listen(self._address)
        except BaseException:
            self._unlock()
            raise
        loop.add_reader(self._socket, self._accept)
        return name_of(self._socket, self._address)

    def _prepare(self) -> list[str]:
        if os.geteuid() != 0:
            raise BadConfig(
                'sessions = "system": this needs root, for the account and for sshd '
                f'(this agent runs as uid {os.geteuid()}; sessions = "embedded" does without)'
            )
        self._lock = accounts.lock(self.username)
        known = accounts.ensure(self.username, self._user_groups)
        host_key = self._data / "host_key"
        groups = cgroup.find(self.username)
        place = Place(known, groups, self._limits, self._run, host_key, self._env, self._shared)
        if not host_key.exists():
            sshd.make_host_key(host_key)
        place.start()
        self._place = place
        kind = "none" if groups.base is None else "limits" if groups.limits else "kill"
        event(_log, logging.INFO, "account_ready", name=known.name, uid=known.uid, cgroup=kind)
        return place.empty()

    @property
    def host_keys(self) -> tuple[str, ...]:
        """See `Sessions`; known after `start`."""
        return (self._host_key,)

    @property
    def uid(self) -> int:
        """Of the holders' account; known after `start`."""
        return self._opened().account.uid

    @property
    def active(self) -> bool:
        """See `Sessions`."""
        return self._stay is not None and self._stay.active

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """See `Sessions`.

        Raises:
            InfraError: the home or the key file cannot be made.
        """
        keys.public_blob(key)
        line = " ".join(key.split(None, 2)[:2])  # no comment, and no options before it
        loop = asyncio.get_running_loop()
        async with self._letting_in:
            await self.end()
            place = self._opened()
            # Over if it fails half-way: the next one empties the place again.
            self._stay = stay = _Stay(on_login)
            await loop.run_in_executor(None, place.open, line, os.urandom(6).hex())
            if stay.over:
                place.close_key()
                raise SessionAlive("the session was ended while it was opened")

    async def end(self) -> None:
        """See `Sessions`."""
        stay = self._stay
        if stay is None:
            return
        if stay.ending is None or (stay.ending.done() and stay.ending.exception()):
            stay.over = True
            self._opened().close_key()
            stay.cut()
            stay.ending = asyncio.get_running_loop().create_task(self._end(stay))
        # The one who waits may give up; what was begun goes on.
        await asyncio.shield(stay.ending)
        if self._stay is stay:
            self._stay = None

    async def _end(self, stay: _Stay) -> None:
        loop = asyncio.get_running_loop()
        trouble = await loop.run_in_executor(None, self._opened().empty)
        if trouble:
            raise SessionAlive("; ".join(trouble))
        warden, stay.warden = stay.warden, None
        if warden is not None:
            await loop.run_in_executor(None, _dismiss, warden)
        stay.active = False

    async def stop(self) -> None:
        """See `Sessions`."""
        try:
            await self.end()
        finally:
            if self._socket is not None:
                asyncio.get_running_loop().remove_reader(self._socket)
                self._socket.close()
                self._socket = None
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            if self._place is not None and self._stay is None:
                self._place.stop()
            self._unlock()

    # --- connections
    def _accept(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    connection, _ = self._socket.accept()
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    event(_log, logging.WARNING, "not_accepted", error=error)
                    return
                stay = self._stay
                if stay is None or stay.over or len(stay.inside) >= CONNECTIONS:
                    connection.close()
                    continue
                task = asyncio.create_task(self._serve(stay, connection), name="dryad sshd")
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)

    async def _serve(self, stay: _Stay, connection: socket.socket) -> None:
        process: asyncio.subprocess.Process | None = None
        try:
            with connection:
                if stay.warden is None:
                    stay.warden = self._opened().warden()
                process = await asyncio.create_subprocess_exec(
                    *self._opened().command(),
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    stderr=subprocess.PIPE,
                    env={"PATH": PATH},
                    cwd="/",
                    start_new_session=True,
                    limit=_LINE,
                )
            stay.knocking[process] = None
            if stay.over:
                stay.cut()
            elif len(stay.knocking) > KNOCKING:
                oldest = next(iter(stay.knocking))
                del stay.knocking[oldest]
                _kill(oldest)
            await self._listen_to(stay, process)
        except (OSError, BorutaError) as error:
            event(_log, logging.ERROR, "sshd_not_started", error=repr(error))
        finally:
            if process is not None:
                _kill(process)
                await process.wait()
                stay.knocking.pop(process, None)
                stay.inside.discard(process)

    async def _listen_to(self, stay: _Stay, process: asyncio.subprocess.Process) -> None:
        """Reads the server's log, which says when the key was shown."""
        accepted = re.compile(rf"Accepted publickey for {re.escape(self.username)} ".encode())
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # a line longer than any of those that are looked for
                continue
            if not line:
                return
            if not stay.over and process in stay.knocking and accepted.match(line):
                del stay.knocking[process]
                stay.inside.add(process)
                if not stay.active:
                    stay.active = True
                    stay.on_login()
            elif _log.isEnabledFor(logging.DEBUG):
                event(_log, logging.DEBUG, "sshd", said=line.decode("utf-8", "replace").strip())

    def _opened(self) -> Place:
        assert self._place is not None, "not started"
        return self._place

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _kill(process: asyncio.subprocess.Process) -> None:
    # Its group: the half without rights, which speaks with the client, outlives the other one.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _dismiss(warden: subprocess.Popen[bytes]) -> None:
    assert warden.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        warden.stdin.write(b"over\n")
        warden.stdin.flush()
    warden.stdin.close()
    warden.wait()

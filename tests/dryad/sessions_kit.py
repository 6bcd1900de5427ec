"""A board's sessions with a holder's tools round them: real ssh, scp, sftp and rsync."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from boruta.domain.errors import BadConfig, InfraError
from dryad.board.sessions import put_tools
from dryad.hardware.port import Hardware
from dryad.letting import embedded_sessions, system_sessions, tools_of
from dryad.sessions import account, leaving, library
from dryad.sessions.embedded import EmbeddedSessions
from dryad.sessions.limits import Limits
from dryad.sessions.port import Sessions
from dryad.sessions.system import SystemSessions

NAME = "holder"
ENV = {"BOARD_SOCKET": "/run/board"}
WITHIN_S = 20.0


def tool(name: str) -> str:
    """The path of a stock tool; the test is skipped where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed on this machine")
    return path


def _without_library() -> str:
    try:
        library.check()
    except BadConfig as error:
        return error.message
    return ""


# Why there are no sessions of the agent's own here: their library may be too old, as Debian 12's.
WITHOUT_LIBRARY = _without_library()
needs_library = pytest.mark.skipif(bool(WITHOUT_LIBRARY), reason=WITHOUT_LIBRARY)


Boards = Callable[..., AbstractAsyncContextManager["Board"]]


@dataclass
class Ended:
    """How a stock tool ended."""

    status: int
    out: bytes
    err: bytes


def make_key(directory: Path, name: str = "key") -> Path:
    """A key pair in files; the public half has the ending .pub."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = directory / name
    path.write_bytes(key.export_private_key())
    path.chmod(0o600)
    path.with_suffix(".pub").write_bytes(key.export_public_key())
    return path


@dataclass
class Board:
    """Sessions that listen, and the key that was let in."""

    sessions: Sessions
    host: str
    port: int
    key: Path
    directory: Path
    logins: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Who may log in."""
        return self.sessions.username

    def homes(self) -> list[Path]:
        """The homes that there are."""
        if not (self.directory / "homes").exists():
            home = account.look_up(self.name).home
            return [home] if home.exists() else []
        return [entry / "home" for entry in (self.directory / "homes").iterdir()]

    async def let_in(self, epoch: int, key: Path | None = None) -> None:
        """Lets a key in; `logins` gets the epoch at the first login."""
        line = (key or self.key).with_suffix(".pub").read_text()
        await self.sessions.let_in(epoch, line, lambda: self.logins.append(epoch))

    async def is_shut_until_the_next(self) -> None:
        """A holder whose end failed keeps the board from others, and gets in no more himself."""
        assert self.sessions.active
        with pytest.raises((asyncssh.Error, OSError)):
            await self.connect()
        await self.let_in(2)
        assert not self.sessions.active

    def options(self, key: Path | None = None) -> list[str]:
        """What every stock tool needs: nothing of the developer's own set-up."""
        known = self.directory / "known_hosts"
        lines = [f"[{self.host}]:{self.port} {line}\n" for line in self.sessions.host_keys]
        known.write_text("".join(lines))
        return [
            *("-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"IdentityFile={key or self.key}", "-o", "LogLevel=ERROR"),
        ]

    async def run(
        self, *command: str, stdin: bytes | None = b"", env: dict[str, str] | None = None
    ) -> Ended:
        """Runs a command here."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        out, err = await asyncio.wait_for(process.communicate(stdin), WITHIN_S)
        assert process.returncode is not None
        return Ended(process.returncode, out, err)

    async def ssh(
        self,
        *command: str,
        stdin: bytes | None = b"",
        options: Sequence[str] = (),
        key: Path | None = None,
        name: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Ended:
        """Stock ssh to the board."""
        port = ("-p", str(self.port))
        target = f"{name or self.name}@{self.host}"
        return await self.run(
            tool("ssh"), *self.options(key), *port, *options, target, *command, stdin=stdin, env=env
        )

    async def connect(
        self, key: Path | None = None, name: str | None = None
    ) -> asyncssh.SSHClientConnection:
        """An asyncssh client that is logged in."""
        return await asyncssh.connect(
            self.host,
            self.port,
            username=name or self.name,
            client_keys=[asyncssh.read_private_key(key or self.key)],
            known_hosts=None,
            agent_path=None,
            config=[],
        )


@asynccontextmanager
async def embedded(
    *, let_in: bool = True, hardware: Hardware | None = None
) -> AsyncIterator[Board]:
    """Sessions of the agent's own on loopback, a key let in at epoch 1; all is gone afterwards."""
    if WITHOUT_LIBRARY:
        pytest.skip(WITHOUT_LIBRARY)
    # Short: the private home then lies in the data directory, as on a board.
    directory = Path(tempfile.mkdtemp(prefix="bs-"))
    sessions: Sessions
    if hardware is None:
        sessions = EmbeddedSessions(
            address="127.0.0.1:0", data=directory, username=NAME, hardware_env=ENV
        )
    else:
        tools = tools_of("embedded", directory)
        put_tools(tools)
        sessions = embedded_sessions(
            data=directory,
            tools=tools,
            address="127.0.0.1:0",
            username=NAME,
            hardware=hardware,
        )
    async with _running(sessions, directory, let_in) as made:
        yield made


@asynccontextmanager
async def system(
    *, let_in: bool = True, limits: Limits | None = None, hardware: Hardware | None = None
) -> AsyncIterator[Board]:
    """The same by an account and sshd; the account is gone afterwards, too."""
    if os.geteuid() != 0:
        pytest.skip("system sessions need root")
    tool("useradd")
    directory = Path(tempfile.mkdtemp(prefix="bs-"))
    name = f"bt-{secrets.token_hex(4)}"
    tools = tools_of("system", directory)
    sessions: Sessions
    if hardware is None:
        sessions = SystemSessions(
            address="127.0.0.1:0",
            data=directory,
            username=name,
            hardware_env=ENV,
            limits=limits,
            run=Path("/run/dryad-tests"),
        )
    else:
        put_tools(tools)
        sessions = system_sessions(
            data=directory,
            tools=tools,
            address="127.0.0.1:0",
            username=name,
            hardware=hardware,
        )
    try:
        async with _running(sessions, directory, let_in) as made:
            yield made
    finally:
        with contextlib.suppress(InfraError):
            leaving.kill_all(account.look_up(name))
        account.remove(name)
        shutil.rmtree(tools, ignore_errors=True)


@asynccontextmanager
async def _running(sessions: Sessions, directory: Path, let_in: bool) -> AsyncIterator[Board]:
    try:
        host, _, port = (await sessions.start()).rpartition(":")
        made = Board(sessions, host, int(port), make_key(directory), directory)
        try:
            if let_in:
                await made.let_in(1)
            yield made
        finally:
            await sessions.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Waits for something that no event tells; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"

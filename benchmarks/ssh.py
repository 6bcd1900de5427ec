"""A command over SSH on a board: our embedded server beside stock sshd in the same run."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from dryad.sessions.embedded import EmbeddedSessions

SSHD = "/usr/sbin/sshd"
BULK_BYTES = 128 << 20
BULKS = 3
DAEMON = "setsid sh -c 'sleep 300 & sleep 300 &' </dev/null >/dev/null 2>&1"
ENDS = 10


@dataclass(frozen=True)
class Server:
    """Where to log in, as whom, with which key file."""

    port: int
    user: str
    key: Path

    async def stock(self, command: str) -> None:
        """A stock ssh from its start to its end."""
        process = await asyncio.create_subprocess_exec(
            *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"),
            *("-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
            *("-o", "IdentitiesOnly=yes", "-i", str(self.key), "-p", str(self.port)),
            *(f"{self.user}@127.0.0.1", command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        if await process.wait() != 0:
            raise RuntimeError(f"ssh to port {self.port} failed")

    async def library(self, key: asyncssh.SSHKey, command: str) -> None:
        """asyncssh connects, runs a command and leaves."""
        async with asyncssh.connect(
            "127.0.0.1",
            self.port,
            username=self.user,
            client_keys=[key],
            known_hosts=None,
            agent_path=None,
            config=[],
        ) as connection:
            await connection.run(command, check=True, stdout=asyncssh.DEVNULL)


@asynccontextmanager
async def _embedded(directory: Path, key: Path) -> AsyncIterator[tuple[Server, EmbeddedSessions]]:
    data = directory / "data"
    data.mkdir(mode=0o700)
    sessions = EmbeddedSessions(address="127.0.0.1:0", data=data, username="bench")
    address = await sessions.start()
    await sessions.let_in(1, key.with_suffix(".pub").read_text(), lambda: None)
    try:
        yield Server(int(address.rpartition(":")[2]), "bench", key), sessions
    finally:
        await sessions.stop()


@asynccontextmanager
async def _stock(directory: Path, key: Path) -> AsyncIterator[Server | None]:
    """A stock sshd of our own on loopback; None where it is missing or does not start."""
    if not os.access(SSHD, os.X_OK):
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    host_key = directory / "sshd_host_key"
    shutil.copy(key, host_key)
    host_key.chmod(0o600)
    config = directory / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {key.with_suffix('.pub')}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        "PrintMotd no\nUseDNS no\nMaxStartups 100\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # its own start script makes it
    process = await asyncio.create_subprocess_exec(
        *(SSHD, "-D", "-e", "-f", str(config)),
        stderr=subprocess.DEVNULL,
    )
    server = Server(port, pwd.getpwuid(os.getuid()).pw_name, key)
    try:
        for _ in range(50):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            break
        try:
            await server.stock("true")
        except RuntimeError as error:
            print(f"  stock sshd: {error}; measured without it", file=sys.stderr)
            yield None
        else:
            yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _times(
    rounds: int, action: Callable[[Server], Awaitable[None]], servers: Sequence[Server]
) -> list[list[float]]:
    """Seconds at each server, taken in turns, so that a busy moment of the machine meets all."""
    for server in servers:
        await action(server)  # warm
    found: list[list[float]] = [[] for _ in servers]
    for _ in range(rounds):
        for times, server in zip(found, servers, strict=True):
            began = time.perf_counter()
            await action(server)
            times.append(time.perf_counter() - began)
    return found


async def _ends(sessions: EmbeddedSessions, server: Server, key: asyncssh.SSHKey) -> list[float]:
    """Seconds that `end` takes with a connection open and a daemon left behind."""
    found = []
    line = key.export_public_key().decode()
    for epoch in range(2, 2 + ENDS):
        await sessions.let_in(epoch, line, lambda: None)
        await server.library(key, DAEMON)
        began = time.perf_counter()
        await sessions.end()
        found.append(time.perf_counter() - began)
    return found


async def _measure(rounds: int, bulk: int) -> list[dict[str, Any]]:
    found = []
    with tempfile.TemporaryDirectory(prefix="bb-") as name:
        directory = Path(name)
        key = asyncssh.generate_private_key("ssh-ed25519")
        path = directory / "key"
        path.write_bytes(key.export_private_key())
        path.chmod(0o600)
        path.with_suffix(".pub").write_bytes(key.export_public_key())
        pour = f"head -c {bulk} /dev/zero"
        async with _embedded(directory, path) as (ours, sessions), _stock(directory, path) as sshd:
            both = [ours, sshd] if sshd else [ours]
            for title, action, count in (
                ("ssh host true, stock client", lambda one: one.stock("true"), rounds),
                ("connect and true, asyncssh client", lambda one: one.library(key, "true"), rounds),
                ("output of a command, stock client", lambda one: one.stock(pour), BULKS),
            ):
                times = [percentile(one, 50) for one in await _times(count, action, both)]
                if count == BULKS:
                    values, unit, better = [bulk / 1e6 / one for one in times], "MB/s", "higher"
                else:
                    values, unit, better = [1e3 * one for one in times], "ms", "lower"
                limit = values[1] if sshd else None
                found.append(result(title, values[0], unit, better, limit, "stock sshd, same run"))
            ends = 1e3 * percentile(await _ends(sessions, ours, key), 50)
            found.append(
                result("end of a session with a daemon", ends, "ms", "lower", 2000.0, "the promise")
            )
    return found


def run(scale: Scale) -> list[dict[str, Any]]:
    """Medians on loopback, each beside stock sshd that is started here."""
    return asyncio.run(_measure(*scale.pick((50, BULK_BYTES), (10, BULK_BYTES // 4), (2, 1 << 20))))

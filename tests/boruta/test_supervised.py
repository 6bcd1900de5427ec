"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boruta.supervised import Supervisor

UNIT = Path(__file__).parents[2] / "examples/systemd/boruta.service"


@pytest.fixture
def above(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        heard.settimeout(10)
        yield heard, path


def test_it_is_told_on_one_line_each_and_the_watchdog_while_the_loop_turns(
    above: tuple[socket.socket, str],
) -> None:
    heard, path = above
    supervisor = Supervisor({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"})
    supervisor.tell(READY="1", STATUS="serving\ntcp://x")
    assert heard.recv(999) == b"READY=1\nSTATUS=serving tcp://x"

    async def story() -> None:
        loop = asyncio.get_running_loop()
        supervisor.watch(loop)
        for _ in range(3):
            assert await loop.run_in_executor(None, heard.recv, 999) == b"WATCHDOG=1"
        supervisor.close()

    asyncio.run(story())


def test_nothing_is_told_where_nobody_listens_or_another_process_is_meant(tmp_path: Path) -> None:
    Supervisor({}).tell(READY="1")
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY="1")
    other = Supervisor({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)})

    async def story() -> None:
        other.watch(asyncio.get_running_loop())
        assert other._timer is None

    asyncio.run(story())


def test_the_unit_has_what_its_comments_say() -> None:
    unit = UNIT.read_text()
    for wanted in ("Type=notify", "WatchdogSec=", "Restart=always", "LimitNOFILE=", "MemoryMax="):
        assert re.search(f"^{wanted}", unit, re.M), wanted
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed: the unit's words are not checked")
    done = subprocess.run([tool, "verify", str(UNIT)], capture_output=True, text=True, timeout=60)
    told = [line for line in done.stderr.splitlines() if "boruta.service" in line]
    assert [line for line in told if "not executable" not in line] == []

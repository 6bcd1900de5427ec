"""What a holder of a system session may take of the board, and no more."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from dryad.sessions import account, limits, traces
from dryad.sessions.limits import Limits
from tests.dryad.sessions_kit import system

pytestmark = pytest.mark.integration

# As mq_open(3): a name, O_CREAT | O_WRONLY, a mode, the kernel's own size.
QUEUE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.mq_open(b"/left-%d" % os.getuid(), 0o101, 0o600, None)
print(os.strerror(ctypes.get_errno()) if fd < 0 else "made")
"""


def test_no_message_queue_is_made_where_nobody_could_find_it_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "QUEUES", "/nowhere")

    async def story() -> None:
        async with system() as held:
            made = await held.ssh("python3 -", stdin=QUEUE.encode())
            assert made.out == b"Too many open files\n", made
            assert (await held.ssh("ulimit -Hq")).out == b"0\n"  # nor does he get it back

    asyncio.run(story())


def test_message_queues_that_can_be_seen_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "QUEUES", str(tmp_path))
    mounted = ctypes.CDLL(None, use_errno=True).mount(b"q", bytes(tmp_path), b"mqueue", 0, None)
    if mounted != 0:
        pytest.skip("this user may mount nothing")

    async def story() -> None:
        async with system() as held:
            made = await held.ssh("python3 -", stdin=QUEUE.encode())
            assert made.out == b"made\n", made
            his = account.look_up(held.name)
            assert (tmp_path / f"left-{his.uid}").exists()
            assert traces.remove_all(his, [str(tmp_path)]) == []
            assert not (tmp_path / f"left-{his.uid}").exists()

    try:
        asyncio.run(story())
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_file_grows_no_larger_than_the_limit_whoever_writes_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with system(limits=Limits(file=1 << 20)) as held:
            grown = await held.ssh("head -c 9000000 /dev/zero >big; stat -c %s big")
            assert grown.out == b"1048576\n", grown
            assert (await held.ssh("head -c 9000000 /dev/zero | wc -c")).out == b"9000000\n"
            (tmp_path / "big").write_bytes(bytes(2 << 20))
            target = f"{held.name}@{held.host}:"
            words = ("scp", *held.options(), "-P", str(held.port), str(tmp_path / "big"), target)
            assert (await held.run(*words)).status != 0
            assert (await held.ssh("stat -c %s big")).out == b"1048576\n"

    asyncio.run(story())


def test_without_a_word_a_file_may_be_as_large_as_one_of_fat() -> None:
    assert Limits().of_a_process()["fsize"] == 4 << 30
    assert os.path.ismount(limits.QUEUES) is ("msgqueue" not in Limits().of_a_process())

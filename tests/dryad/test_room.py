"""A holder who takes more of the disk than one may loses the board, and nobody else does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from boruta.domain.commands import EndedJob
from boruta.domain.errors import ActionRefused
from dryad.config import AgentConfig
from dryad.letting import make_room
from dryad.sessions.limits import KEPT_DISK, Limits
from dryad.sessions.room import LOOK_EVERY_S, Room
from tests.dryad.fakes import Board, lease, prepare

MIB = 1 << 20
PLACE = Path("/")


class Disk:
    """A file system of 8 GiB, with so many MiB free for others than root."""

    def __init__(self, free: int, size: int = 8192) -> None:
        self.free, self.size = free, size

    def look(self, _: Path) -> os.statvfs_result:
        found = SimpleNamespace(f_bavail=self.free, f_frsize=MIB, f_blocks=self.size)
        return cast(os.statvfs_result, found)


def room(disk: Disk, most: int = 0) -> Room:
    made = Room([PLACE], most * MIB, disk.look)
    made.remember()
    return made


@pytest.mark.parametrize(
    ("size", "before", "most", "allowed"),
    [
        (8192, 4000, 0, 4000 - (KEPT_DISK >> 20)),
        (200, 200, 0, 190),
        (8192, 4000, 100, 100),
        (8192, 10, 0, 16),
        (8192, 100, 0, 16),
    ],
    ids=["all but what is kept", "a small one", "as configured", "a full one", "nearly full"],
)
def test_so_much_may_be_taken(size: int, before: int, most: int, allowed: int) -> None:
    disk = Disk(before, size)
    made = room(disk, most)
    disk.free = before - allowed
    assert made.taken_too_much() == ""
    disk.free -= 1
    assert made.taken_too_much() == (f"{allowed + 1} MiB of the disk below / (allowed: {allowed})")
    disk.free = before + 5
    assert made.taken_too_much() == ""


def test_a_disk_that_cannot_be_looked_at_is_no_fault_of_the_holders(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    made = Room([tmp_path / "never", gone])
    made.remember()
    assert made.taken_too_much() == ""
    gone.rmdir()
    assert made.taken_too_much() == ""


def test_the_session_ends_and_the_server_hears_why() -> None:
    async def story() -> None:
        disk = Disk(4000)
        board = Board(room=Room([PLACE], 0, disk.look))
        await board.lent(600)
        board.sessions.log_in()
        await board.clock.advance(60)
        assert board.is_open
        disk.free = 100
        await board.clock.advance(LOOK_EVERY_S)
        assert not board.is_open
        assert board.agent.ended == EndedJob(7, 1, "over_limit")
        assert (board.news, board.faults) == (1, [])
        # The next one finds the disk as it is, and is not blamed for it.
        await board.agent.handle(prepare(board=2))
        board.sessions.log_in()
        await board.agent.handle(lease(board=2, id=8))
        await board.clock.advance(60)
        assert board.is_open

    asyncio.run(story())


def test_a_lease_that_comes_after_it_is_refused_for_the_same_reason() -> None:
    async def story() -> None:
        disk = Disk(4000)
        board = await Board(room=Room([PLACE], 0, disk.look)).prepared()
        board.sessions.log_in()
        disk.free = 0
        await board.clock.advance(LOOK_EVERY_S)
        assert not board.is_open
        with pytest.raises(ActionRefused):
            await board.agent.handle(lease())
        assert board.agent.ended == EndedJob(7, 1, "over_limit")

    asyncio.run(story())


def test_only_holders_with_an_account_of_their_own_are_watched(tmp_path: Path) -> None:
    assert make_room(AgentConfig(sessions="embedded"), tmp_path) is None
    limits = Limits(disk=1 * MIB)
    assert make_room(AgentConfig(sessions="system", limits=limits), tmp_path) is not None

"""What an agent remembers of its epochs and its job, and where."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from boruta.domain.commands import EndedJob
from boruta.domain.errors import ActionRefused, InfraError
from boruta.domain.types import Epoch
from dryad.lease import HeldJob, LeaseFile, Remembered
from tests.dryad.fakes import KEY, OTHER_KEY, Board, Forgetful, lease, maintain

FULL = Remembered(
    boot_id="boot-1",
    epoch=Epoch(3, 8),
    key=KEY,
    key_epoch=8,
    job=HeldJob(7, 8, 1234.5, 2),
    ended=EndedJob(6, 7, "time_up"),
)


def test_a_restarted_agent_knows_its_epochs_and_has_no_job() -> None:
    async def story() -> None:
        memory = Forgetful()
        await Board(memory=memory).lent()
        again = Board(memory=memory)
        await again.agent.start()
        assert again.agent.epoch == Epoch(1, 1)
        assert again.agent.job is None
        assert again.sessions.ends == 1
        with pytest.raises(ActionRefused):
            await again.agent.handle(lease(rev=2))

    asyncio.run(story())


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_what_ended_while_cut_off_is_told_also_after_a_restart(boot: str) -> None:
    async def story() -> None:
        memory = Forgetful()
        board = await Board(memory=memory).lent(10)
        await board.clock.advance(10)
        again = Board(memory=memory, boot=boot)
        await again.agent.start()
        assert again.agent.ended == EndedJob(7, 1, "time_up")

    asyncio.run(story())


def test_key_and_lease_are_written_before_the_reply() -> None:
    async def story() -> None:
        memory = Forgetful()
        board = await Board(memory=memory).prepared()
        assert memory.last.key == KEY
        await board.agent.handle(lease(remaining_s=600))
        assert memory.last.job == HeldJob(7, 1, board.clock.now() + 600, 1)
        assert memory.last.key == KEY
        await board.agent.handle(maintain(1, 2))
        assert memory.last.job is None
        assert memory.last.key == ""

    asyncio.run(story())


def test_the_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    file = LeaseFile(tmp_path / "lease")
    for what in (FULL, replace(FULL, job=None), replace(FULL, ended=None, key=OTHER_KEY)):
        asyncio.run(file.save(what))
        assert LeaseFile(tmp_path / "lease").load() == what
    assert [path.name for path in tmp_path.iterdir()] == ["lease"]
    assert (tmp_path / "lease").stat().st_mode & 0o777 == 0o600


def test_no_file_is_nothing_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert LeaseFile(tmp_path / "lease").load() == Remembered()
    assert not caplog.records


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"boot_id": 1}', b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "bytes", "types", "deep"],
)
def test_a_damaged_file_is_nothing_known_and_a_line_in_the_log(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lease").write_bytes(damage)
    with caplog.at_level(logging.WARNING, "dryad"):
        assert LeaseFile(tmp_path / "lease").load() == Remembered()
    assert "lease_file_damaged" in caplog.text


def test_every_truncated_file_is_nothing_known_or_whole(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    asyncio.run(LeaseFile(path).save(FULL))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert LeaseFile(path).load() == Remembered()


def test_a_file_that_cannot_be_written_is_an_infra_error(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="lease"):
        asyncio.run(LeaseFile(tmp_path / "missing" / "lease").save(FULL))


def test_the_file_is_on_the_disk_before_it_takes_the_old_one_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replaced = os.fsync, Path.replace

    def syncs(fd: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        sync(fd)

    def replaces(self: Path, target: Path) -> Path:
        done.append("replace")
        return replaced(self, target)

    monkeypatch.setattr(os, "fsync", syncs)
    monkeypatch.setattr(Path, "replace", replaces)
    asyncio.run(LeaseFile(tmp_path / "lease").save(FULL))
    assert done == ["file", "replace", "directory"]

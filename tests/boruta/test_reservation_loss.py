"""A board that is lost, or is not the one it should be: what its holder is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncssh
import pytest

from boruta import holding, sshlink, watching
from boruta.domain.errors import (
    BoardLost,
    InfraError,
    Unreachable,
)
from boruta.domain.types import ReqState
from boruta.holding import Reservation
from tests.boruta.board import BOARD, LendingRequests, SshBoard, held


def test_a_lost_connection_is_made_anew_for_the_next_command() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        await board.run("true")
        ssh.drop()
        assert (await board.run("echo again")).stdout == "again\n"
        assert ssh.logins == 2

    held(story)


def test_a_connection_that_breaks_under_a_command_is_board_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding, "REASON_WITHIN_S", 0.3)

    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        running = asyncio.ensure_future(board.run("echo there; exec sleep 60"))
        while not ssh._children:
            await asyncio.sleep(0.01)
        ssh.drop()
        with pytest.raises(BoardLost, match=r"while a command ran.*still holds it"):
            await running

    held(story)


def test_a_board_that_is_lost_ends_the_command_at_once_with_the_reason() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        running = asyncio.ensure_future(board.run("exec sleep 60"))
        while not ssh._children:
            await asyncio.sleep(0.01)
        requests.end(board.id, ReqState.FAILED, "board_lost", "its agent was out of reach")
        with pytest.raises(BoardLost, match="its agent was out of reach") as lost:
            await asyncio.wait_for(running, 5)
        assert lost.value.details["reason_code"] == "board_lost"
        assert lost.value.details["worker"] == BOARD
        with pytest.raises(BoardLost):
            await board.run("true")
        with pytest.raises(BoardLost):
            await board.prolong()

    assert held(story).closed == []  # it had ended: nothing is closed a second time


def test_time_that_is_up_shows_in_the_details() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        requests.end(board.id, ReqState.DONE, "time_up", "the job's time is up")
        with pytest.raises(BoardLost, match="time is up") as lost:
            await board.run("true")
        assert lost.value.details["reason_code"] == "time_up"
        assert board.info.state is ReqState.DONE

    held(story)


@pytest.mark.parametrize("how", ["gap", "poll", "forgotten"])
def test_a_loss_that_nobody_told_of_is_found_by_asking(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how != "gap":
        monkeypatch.setattr(watching, "POLL_S", 0.05)

    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        running = asyncio.ensure_future(board.run("exec sleep 60"))
        while not ssh._children:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        requests.feed_works = False
        if how == "forgotten":
            del requests.infos[board.id]
        else:
            requests.end(board.id, ReqState.FAILED, "board_lost", "gone")
        if how == "gap":
            requests.gap()
        with pytest.raises(BoardLost):
            await asyncio.wait_for(running, 5)

    held(story)


def test_a_server_out_of_reach_is_told_apart_from_a_lost_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding, "REASON_WITHIN_S", 0.3)

    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        running = asyncio.ensure_future(board.run("exec sleep 60"))
        while not ssh._children:
            await asyncio.sleep(0.01)

        async def away(req_id: int) -> None:
            raise Unreachable("no answer from tcp://farm:7175")

        monkeypatch.setattr(requests, "get_request_info", away)
        ssh.drop()
        with pytest.raises(Unreachable, match="out of reach too"):
            await running

    held(story)


def test_another_host_key_is_refused_and_nothing_is_sent() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        await ssh.stop()
        await ssh.start(host_key=asyncssh.generate_private_key("ssh-ed25519"))
        board._access = replace(board.access, port=ssh.access.port)
        with pytest.raises(InfraError, match="another host key"):
            await board.run("true")

    held(story)


def test_a_board_without_a_host_key_is_refused() -> None:
    async def story(board: Reservation, *_: object) -> None:
        board._access = replace(board.access, host_keys=())
        with pytest.raises(InfraError, match="no host key"):
            await board.run("true")

    held(story)


def test_a_key_that_the_board_does_not_know_is_board_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "REASON_WITHIN_S", 0.2)

    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        ssh.client_key = asyncssh.generate_private_key("ssh-ed25519")
        with pytest.raises(BoardLost, match="does not let the job's key in"):
            await board.run("true")

    held(story)


def test_nothing_that_listens_is_tried_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshlink, "TRIES_S", (0.01, 0.01))
    monkeypatch.setattr(holding, "REASON_WITHIN_S", 0.2)

    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        await ssh.stop()
        with pytest.raises(BoardLost, match=r"127\.0\.0\.1"):
            await board.run("true")

    held(story)

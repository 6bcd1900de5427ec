"""A held board: commands, files, ports, and what happens when it is lost."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from boruta import aio, holding, sshlink, watching
from boruta.domain.errors import (
    BadRequest,
    BoardLost,
    InfraError,
    NotFoundError,
    ShuttingDown,
    Unreachable,
)
from boruta.domain.types import ReqState
from boruta.holding import Reservation
from tests.boruta.board import BOARD, LendingRequests, NoWorkers, SshBoard

Story = Callable[[Reservation, LendingRequests, SshBoard], Awaitable[None]]


def held(story: Story) -> LendingRequests:
    """Runs a story with a board that is held, and gives it back."""

    async def run() -> LendingRequests:
        board = SshBoard()
        await board.start()
        requests = LendingRequests(board.access)
        client = aio.Client(requests, NoWorkers(), feed=requests)
        try:
            async with asyncio.timeout(30), client.reserve({"arch": "arm"}) as reservation:
                await story(reservation, requests, board)
        finally:
            await client.close()
            await board.stop()
        return requests

    return asyncio.run(run())


def test_a_command_gives_status_and_both_outputs() -> None:
    async def story(board: Reservation, *_: object) -> None:
        done = await board.run("echo out; echo err >&2; exit 3")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
        assert done.args == "echo out; echo err >&2; exit 3"

    held(story)


def test_a_sequence_is_one_command_with_its_arguments_quoted() -> None:
    async def story(board: Reservation, *_: object) -> None:
        done = await board.run(["printf", "%s|", "a b", "$HOME", "it's", ""])
        assert done.stdout == "a b|$HOME|it's||"

    held(story)


def test_a_stream_passes_bytes_on_as_they_come(tmp_path: Path) -> None:
    async def story(board: Reservation, *_: object) -> None:
        out, err = io.BytesIO(), io.BytesIO()
        reading, writing = os.pipe()
        os.write(writing, b"in\n")
        os.close(writing)
        try:
            status = await board.stream(
                ["sh", "-c", "cat; echo $A >&2; exit 5"],
                stdin=reading, stdout=out, stderr=err, env={"A": "b"},
            )  # fmt: skip
        finally:
            os.close(reading)
        assert (status, out.getvalue(), err.getvalue()) == (5, b"in\n", b"b\n")

    held(story)


def test_a_signal_is_a_negative_status() -> None:
    async def story(board: Reservation, *_: object) -> None:
        assert (await board.run("kill -KILL $$")).returncode == -9

    held(story)


def test_input_reaches_the_command_and_its_end_does_too() -> None:
    async def story(board: Reservation, *_: object) -> None:
        assert (await board.run("cat", input="grüße\n")).stdout == "grüße\n"
        assert (await board.run("wc -c", input=b"\x00\xff")).stdout.strip() == "2"
        assert (await board.run("cat", input="")).stdout == ""
        assert (await board.run("cat")).stdout == ""

    held(story)


def test_variables_are_set_for_the_command() -> None:
    async def story(board: Reservation, *_: object) -> None:
        done = await board.run('echo "$ONE,$TWO"', env={"ONE": "a b", "TWO": "it's $x"})
        assert done.stdout == "a b,it's $x\n"

    held(story)


@pytest.mark.parametrize(
    ("cmd", "env"), [("", None), ([], None), ("a\0b", None), ("true", {"a b": "c"})]
)
def test_a_command_that_cannot_be_a_shell_line_is_refused(cmd: str, env: dict[str, str]) -> None:
    async def story(board: Reservation, *_: object) -> None:
        with pytest.raises(BadRequest):
            await board.run(cmd, env=env)

    held(story)


def test_output_that_is_no_utf8_is_shown_with_replacements() -> None:
    async def story(board: Reservation, *_: object) -> None:
        assert (await board.run(r"printf 'a\377b'")).stdout == "a\N{REPLACEMENT CHARACTER}b"

    held(story)


def test_check_raises_for_a_command_that_fails() -> None:
    async def story(board: Reservation, *_: object) -> None:
        await board.run("true", check=True)
        with pytest.raises(subprocess.CalledProcessError) as failed:
            await board.run("echo why >&2; exit 4", check=True)
        assert (failed.value.returncode, failed.value.stderr) == (4, "why\n")

    held(story)


def test_a_command_that_takes_too_long_is_killed_and_its_output_kept() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        with pytest.raises(subprocess.TimeoutExpired) as late:
            await board.run("echo begun; exec sleep 60", timeout=0.5)
        assert (late.value.timeout, late.value.output) == (0.5, "begun\n")
        while ssh._children:  # bounded by the story's own time
            await asyncio.sleep(0.01)
        assert (await board.run("echo next")).stdout == "next\n"
        assert ssh.logins == 1

    held(story)


def test_one_connection_serves_many_commands_at_once() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        done = await asyncio.gather(*(board.run(f"echo {n}") for n in range(5)))
        assert [one.stdout for one in done] == [f"{n}\n" for n in range(5)]
        assert ssh.logins == 1

    held(story)


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


def test_files_and_directories_go_there_and_back(tmp_path: Path) -> None:
    there, tree = tmp_path / "there", tmp_path / "tree"
    there.mkdir()
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "tool").write_text("#!/bin/sh\n")
    (tree / "sub" / "tool").chmod(0o750)

    async def story(board: Reservation, *_: object) -> None:
        await board.put(tree / "sub" / "tool", str(there / "tool2"))
        assert (there / "tool2").stat().st_mode & 0o777 == 0o750
        await board.put(str(tree), str(there))
        assert (there / "tree" / "sub" / "tool").read_text() == "#!/bin/sh\n"
        await board.get(str(there / "tree"), tmp_path / "back")
        assert (tmp_path / "back" / "sub" / "tool").stat().st_mode & 0o777 == 0o750

    held(story)


def test_a_file_that_the_board_does_not_have_is_not_found(tmp_path: Path) -> None:
    async def story(board: Reservation, *_: object) -> None:
        with pytest.raises(NotFoundError, match="on the board"):
            await board.get(str(tmp_path / "nothing"), tmp_path)
        with pytest.raises(FileNotFoundError):
            await board.put(tmp_path / "nothing", "x")

    held(story)


def test_a_port_of_the_board_is_reached_here() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as peer:
            peer.sendall(b"hello")

    server = threading.Thread(target=serve)
    server.start()

    async def story(board: Reservation, *_: object) -> None:
        async with board.forward(listener.getsockname()[1], "127.0.0.1") as port:
            assert port == port.port > 0
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    try:
        held(story)
    finally:
        server.join(5)
        listener.close()


def test_closing_gives_the_board_back_once_and_ends_what_runs() -> None:
    async def story(board: Reservation, requests: LendingRequests, ssh: SshBoard) -> None:
        running = asyncio.ensure_future(board.run("exec sleep 60"))
        while not ssh._children:
            await asyncio.sleep(0.01)
        await board.close()
        await board.close()
        with pytest.raises(ShuttingDown):
            await running
        with pytest.raises(ShuttingDown, match="is closed"):
            await board.run("true")

    assert held(story).closed == [1]


def test_prolonging_asks_the_server() -> None:
    async def story(board: Reservation, requests: LendingRequests, *_: object) -> None:
        assert (await board.prolong()).prolongs_left == 9
        assert requests.prolonged == 1

    held(story)


def test_the_key_never_shows_in_a_repr() -> None:
    async def story(board: Reservation, *_: object) -> None:
        assert "PRIVATE" not in repr(board.access)
        assert board.worker_uuid == BOARD

    held(story)

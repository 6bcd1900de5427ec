"""A held board: commands, files, ports, and its end."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import threading
from pathlib import Path

import asyncssh
import pytest

from boruta.domain.errors import (
    ActionRefused,
    BadRequest,
    NotFoundError,
    ShuttingDown,
)
from boruta.holding import Reservation
from tests.boruta.board import BOARD, LendingRequests, SshBoard, held


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
    ("cmd", "env"),
    [("", None), ([], None), ("a\0b", None), ("true", {"a b": "c"}), ("a\udcff", None)],
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


def test_a_name_that_is_no_utf8_is_a_name_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff")
    there, back = tmp_path / "there", tmp_path / "back"
    there.mkdir()
    back.mkdir()
    (there / name).write_text("x")

    async def story(board: Reservation, *_: object) -> None:
        await board.get(str(there / name), back)
        assert (back / name).read_text() == "x"
        await board.put(back / name, str(there / (name + "2")))
        assert (there / (name + "2")).read_text() == "x"

    held(story)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this machine; the board, which is a fake, works in another one."""
    (tmp_path / "board").mkdir()
    monkeypatch.chdir(tmp_path / "board")
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_a_name_that_begins_with_a_tilde_is_a_name_like_others(here: Path) -> None:
    for name in ("~", "~root", "x"):
        (here / name).write_text(name)

    async def story(board: Reservation, *_: object) -> None:
        await board.put(here / "~", "")
        await board.put(here / "~root", "")
        await board.put(here / "x", "~x")
        await board.put(here / "x", "~")  # the home, as a shell has it
        assert (await board.run(["cat", "./~", "./~root", "./~x", "x"])).stdout == "~~rootxx"
        await board.get("./~", here / "back")
        await board.get("~root", here / "root")

    held(story)
    assert (here / "back").read_text() + (here / "root").read_text() == "~~root"


def test_what_comes_from_a_board_gives_nobody_its_owners_rights_here(here: Path) -> None:
    async def story(board: Reservation, *_: object) -> None:
        await board.run("mkdir -p d/e; touch s d/t; chmod 6755 s; chmod 4711 d/t; chmod 3777 d/e")
        await board.get("s", here)
        await board.get("d", here)
        modes = {name: (here / name).stat().st_mode & 0o7777 for name in ("s", "d/t", "d/e")}
        assert modes == {"s": 0o755, "d/t": 0o711, "d/e": 0o777}

    held(story)


def test_a_board_is_reached_without_the_user_s_own_ssh_configuration_and_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    touch = f"touch {tmp_path}/touched"
    text = f"Host *\n  ProxyCommand {touch}\n  ForwardAgent yes\n  ForwardX11 yes\n"
    (tmp_path / ".ssh/config").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    asked: list[dict[str, object]] = []
    connect = asyncssh.connect

    def watched(*args: object, **options: object) -> object:
        asked.append(options)
        return connect(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncssh, "connect", watched)

    async def story(board: Reservation, *_: object) -> None:
        assert (await board.run("echo hi")).stdout == "hi\n"

    held(story)
    (options,) = asked
    # Without the first, asyncssh asks the agent that SSH_AUTH_SOCK names.
    assert options["agent_path"] is None
    assert not {"agent_forwarding", "x11_forwarding"} & options.keys()
    assert not (tmp_path / "touched").exists()


def test_links_out_of_a_directory_are_named_and_the_rest_is_copied(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "a").symlink_to("/etc/passwd")
    (there / "b").write_text("b")
    (there / "c").symlink_to("../../outside")
    (there / "d").symlink_to("b")

    async def story(board: Reservation, *_: object) -> None:
        with pytest.raises(ActionRefused, match=r"there/[ac]' .*there/[ac]' .*the rest was"):
            await board.get(str(there), tmp_path / "back")
        assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["b", "d"]

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

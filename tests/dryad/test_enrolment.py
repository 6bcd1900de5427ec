"""dryad enroll: a board that its admin only has to admit; configurations keep what they said."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from boruta.domain.errors import BadConfig, BadRequest, NotPermitted
from boruta.invitation import Invitation, write
from boruta.pairs import load_pair
from dryad import enrolment
from dryad.config import load
from dryad.enrolment import enroll
from dryad.initial import write as write_initial
from dryad.place import kept_uuid
from tests.dryad.test_cli_run import ADMIN, end, line_with, open_server, run

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
ONE = write(Invitation("board-17", ("tcp://boruta.lab:7175",), KEY))
TWO = write(Invitation("board-17", ("tcp://a:1", "tcp://[::1]:2"), KEY))


def test_a_board_without_a_configuration_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "etc/dryad.toml"
    done = enroll(ONE, path, force=False)
    config = load(path, {}, {})
    assert config.server == ("tcp://boruta.lab:7175",)
    assert config.server_key == KEY
    pair = load_pair(Path(config.key))
    assert (tmp_path / "etc/board-17.key_secret").stat().st_mode & 0o777 == 0o600
    assert shlex.split(done.admit) == [
        *("boruta", "key", "add", "--role", "worker", "board-17", "--", pair.public)
    ]
    assert pair.secret not in done.admit + done.told + path.read_text()


def test_what_init_wrote_is_filled_in_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    list(write_initial(path, None, detect=True, force=False))
    before = path.read_text().splitlines()
    enroll(TWO, path, force=False)
    assert load(path, {}, {}).server == ("tcp://a:1", "tcp://[::1]:2")
    after = path.read_text().splitlines()
    different = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [re.sub(r"[# ]*(\w+) =.*", r"\1", old) for old, _ in different] == [
        *("server", "server_key", "key")
    ]


def test_done_again_it_is_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    first = enroll(ONE, path, force=False)
    before = path.read_bytes()
    assert enroll(ONE, path, force=False) == first
    assert path.read_bytes() == before


def test_a_board_of_another_server_is_not_moved_unasked(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    enroll(ONE, path, force=False)
    with pytest.raises(BadConfig, match=r"dryad.toml, line \d+: server: .*--force"):
        enroll(TWO, path, force=False)
    assert load(path, {}, {}).server == ("tcp://boruta.lab:7175",)
    enroll(TWO, path, force=True)
    assert len(load(path, {}, {}).server) == 2


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    enroll(ONE, path, force=False)
    (tmp_path / "board-17.key_secret").chmod(0o644)
    with pytest.raises(NotPermitted, match="chmod 600"):
        enroll(ONE, path, force=False)


@pytest.mark.parametrize(
    "invitation",
    [
        Invitation("../../root/x", ("h:1",), KEY),
        Invitation("local", ("h:1",), KEY),
        Invitation("b", ("http://h",), KEY),
        Invitation("b", ("h:1\nkey = 1",), KEY),
    ],
)
def test_an_invitation_of_somebody_who_means_ill_writes_nothing(
    tmp_path: Path, invitation: Invitation
) -> None:
    with pytest.raises((BadConfig, BadRequest)):
        enroll(write(invitation), tmp_path / "dryad.toml", force=True)
    assert list(tmp_path.iterdir()) == []


ODD = 'server = [\n  "tcp://x:1",\n]'
HIDDEN = "data = '''\nserver = 1\n'''"


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    'sessions = "system"',
                    "# server = 1",
                    "[caps]",
                    "[user]",
                    "",
                    "insecure = false",
                ),
                *(
                    'server = "tcp://x:1"',
                    "key = '''\nserver = \n'''",
                    "  server_key='k'",
                    ODD,
                    HIDDEN,
                ),
                *("limits.processes = 3", 'key = "k" # mine', "#key=", "[[x]]", '"a=b" = "["'),
            ]
        ),
        unique=True,
    )
)
@example([ODD])
def test_whatever_stands_there_is_kept_or_nothing_is_changed(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    wanted: dict[str, object] = {"server": "tcp://h:1", "server_key": KEY, "key": "b.key_secret"}
    with contextlib.suppress(BadConfig):
        after = enrolment._changed(text, wanted, Path("dryad.toml"))
        assert tomllib.loads(after) == {**before, **wanted}


@pytest.mark.parametrize("text", [ODD, HIDDEN])
def test_what_no_program_can_change_is_said_with_what_to_put_there(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text(text)
    with pytest.raises(BadConfig, match=r"put there: server = .*key = "):
        enroll(ONE, path, force=True)
    assert path.read_text() == text


@pytest.mark.integration
def test_a_board_that_was_enrolled_and_admitted_registers(tmp_path: Path) -> None:
    click = pytest.importorskip("click.testing", reason="no server can run here")
    from boruta.cli.keys import key

    async def story() -> None:
        data, board = tmp_path / "data", tmp_path / "board/dryad.toml"
        server = await open_server(data)
        try:
            words = ["invite", "board-17", "--server", server.url, "--data", str(data)]
            invited = click.CliRunner().invoke(key, words)
            done = enroll(invited.stdout.strip(), board, force=False)
            verb, *rest = shlex.split(done.admit)[2:]
            assert click.CliRunner().invoke(key, [verb, "--data", str(data), *rest]).exit_code == 0
            more = f'sessions = "embedded"\ndata = "{tmp_path / "agent"}"\n'
            more += 'ssh_address = "127.0.0.1:0"\ntrust_holders = true\n'
            board.write_text(more + board.read_text())
            child = await run(board)
            try:
                await line_with(child, " registered ")
                workers = server.engine.front.workers(ADMIN)
                assert (await workers.get_worker_info(kept_uuid(tmp_path / "agent"))).online
            finally:
                assert await end(child) == 0
        finally:
            await server.close()

    asyncio.run(story())

"""Invitations: what was written is read, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from boruta.cli.keys import key
from boruta.domain.errors import BadRequest
from boruta.invitation import Invitation, read, write
from boruta.keys import KeyRing
from boruta.pairs import new_pair

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
MADE = Invitation("board-17", ("tcp://boruta.lab:7175",), KEY)


@given(st.text(min_size=1, max_size=64), st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_an_invitation_is_read_as_it_was_written(name: str, servers: list[str]) -> None:
    made = Invitation(name, tuple(servers), KEY)
    assert read(f" {write(made)}\n") == made


@given(st.data())
def test_one_that_was_changed_on_its_way_is_none(data: st.DataObject) -> None:
    word = write(MADE)
    at = data.draw(st.integers(0, len(word) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_.=é ").filter(lambda sign: sign != word[at]))
    with pytest.raises(BadRequest):
        read(word[:at] + other + word[at + 1 :])
    with pytest.raises(BadRequest):
        read(word[:at])


@pytest.mark.parametrize("words", ["", "boruta1.", "boruta1.e30", "boruta1." + "A" * 9000, KEY])
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(BadRequest, match="invitation"):
        read(words)


def test_a_server_key_that_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="Z85"):
        read(write(MADE._replace(server_key="x")))


def test_invite_prints_what_a_board_needs_and_no_secret(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path / "data")
    words = ["invite", "board-17", "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(key, [*words, "--server", "boruta.lab", "--server", "tcp://b:7"])
    assert done.exit_code == 0, done.output
    found = read(done.stdout)
    assert found == Invitation(
        "board-17", ("tcp://boruta.lab:7175", "tcp://b:7"), ring.server.public
    )
    assert ring.peers() == []


@pytest.mark.parametrize("words", [["../x"], ["b", "--server", "http://x"]])
def test_a_name_or_address_that_is_none_is_refused(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(key, ["invite", *words, "--data", str(tmp_path / "data")])
    assert done.exit_code != 0


@pytest.mark.parametrize(("start", "end"), [("-0000", "00000"), ("0/./0", "0//0/")])
def test_a_key_may_look_like_an_option_or_a_path(tmp_path: Path, start: str, end: str) -> None:
    public = start + new_pair()[0][5:35] + end
    words = ["add", "--data", str(tmp_path / "data"), "--role", "worker", "b", "--", public]
    assert CliRunner().invoke(key, words).exit_code == 0
    assert KeyRing.open(tmp_path / "data").peers()[0].public == public

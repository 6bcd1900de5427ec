"""The judge finds what it is there to find."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.crash.judge import Line, board_findings
from tests.crash.kept import Kept

NOTHING = Kept({}, {})


def at(what: str, epoch: int = 1, request: int = 0) -> Line:
    """A line of a board's log."""
    return {"board": "b1", "what": what, "epoch": epoch, "request": request}


FINE = [
    [at("open"), at("lease", 1, 7), at("login", 1, 7), at("closed"), at("open", 2)],
    [at("open"), at("lease", 1, 7), at("started"), at("open", 2), at("lease", 2, 8)],
]
WRONG = [
    [at("open"), at("lease", 1, 7), at("lease", 1, 8)],  # one key, two holders
    [at("open"), at("login", 1, 7), at("open", 2)],  # opened for the next before the last was out
    [at("open"), at("closed"), at("open", 2), at("login", 1, 7)],  # an old key opens
]


@pytest.mark.parametrize("lines", FINE)
def test_one_holder_after_the_other_is_right(lines: Sequence[Line]) -> None:
    assert list(board_findings(lines, [], NOTHING)) == []


@pytest.mark.parametrize("lines", WRONG)
def test_two_holders_of_a_board_are_found(lines: Sequence[Line]) -> None:
    assert list(board_findings(lines, [], NOTHING))


def test_one_key_for_two_requests_is_found() -> None:
    told = [{"what": "acquire", "id": number, "answer": {"key": "k"}} for number in (7, 8)]
    texts = [one.text for one in board_findings([], told, NOTHING)]
    assert "request 7 was given the same key" in texts

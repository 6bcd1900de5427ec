"""A pytest harness that embeds a whole farm: real agents, simulated boards.

usage: pytest test_embedded.py      (the fixtures come with the package)
"""

import pytest


@pytest.fixture(scope="session")
def boards(boruta_farm):
    """Two boards of a kind, for all tests of the session."""
    return boruta_farm.simulate(2, caps={"arch": "armv7l", "ram": "512"})


@pytest.mark.boruta(caps={"arch": "armv7l"})
def test_the_board_answers(boards, boruta_board):
    """`boruta_board` is held for this test alone and given back after it."""
    assert boruta_board.run("echo $((6 * 7))").stdout == "42\n"


def test_a_file_survives_the_way_there_and_back(boards, boruta_farm, tmp_path):
    """A board that is asked for by hand."""
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_text("firmware")
    with boruta_farm.reserve({"ram": "256.."}, timeout=30) as board:
        board.put(there, "image.bin")
        board.get("image.bin", back)
    assert back.read_text() == "firmware"

"""The hardware of a board from afar: verbs, and what a reservation has beside its shell."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator

import pytest

from boruta import aio
from boruta.domain.errors import BadRequest, Busy
from boruta.reservation import Reservation
from tests.boruta.typed import Lab, lab

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def farm() -> Iterator[Lab]:
    with lab(2) as made:
        yield made


@pytest.fixture(scope="module")
def held(farm: Lab) -> str:
    return farm.held("-c", f"UUID={farm.boards[0]}")


@pytest.fixture
def board(farm: Lab) -> Iterator[Reservation]:
    with farm.farm.reserve({"UUID": farm.boards[1]}, timeout=30) as made:
        yield made


def test_verbs_switch_and_tell(farm: Lab, held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert farm("power", "-r", held).out == "off\n"
    assert farm("power", "on", "-r", held).status == 0
    monkeypatch.setenv("BORUTA_REQUEST", held)
    assert farm("power").out == "on\n"
    assert farm("current").out == "230\n"
    recorded = farm("current", "--record", "0.2", "--every", "0.05").out.splitlines()
    assert {line.split(",")[1] for line in recorded} == {"230"}
    assert farm("mux", "dut").status == 0
    assert farm("mux").out == "dut\n"
    assert farm("power", "tick", "0.01").status == 0
    assert farm("led", "1", "0", "255", "0").status == 0
    assert farm("text", "hello", "there").status == 0
    assert farm("power", "off").status == 0
    assert farm("current").out == "0\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["power", "up"], 2, "'on', 'off', 'tick'"),
        (["power", "tick", "x"], 2, "want: board power"),
        (["led", "3", "0", "0", "0"], 2, "want: board led 1|2"),
        (["led", "1", "0", "0", "999"], 2, "allowed: 0 to 255"),
        (["current", "--record", "0"], 2, "allowed: 0.003"),
    ],
)
def test_a_wrong_word_says_what_is_allowed(
    farm: Lab, held: str, words: list[str], status: int, said: str
) -> None:
    ended = farm(*words, "-r", held)
    assert ended.status == status
    assert said in ended.err


def test_without_a_request_it_says_how_one_is_named(
    farm: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BORUTA_REQUEST", raising=False)
    ended = farm("power")
    assert ended.status == 2
    assert "BORUTA_REQUEST" in ended.err


def test_a_reservation_has_its_hardware(board: Reservation) -> None:
    assert board.power.is_on() is False
    board.power.on()
    assert board.power.is_on() is True
    assert board.current.read() == 230
    board.power.tick(0.01)
    board.mux.dut()
    assert board.mux.side() == "dut"
    board.mux.ts()
    readings = board.current.record(0.2, every=0.05)
    assert readings[0][1] == 230
    assert [when for when, _ in readings] == sorted(when for when, _ in readings)
    board.led(2, 1, 2, 3)
    board.text("two words")
    board.power.off()
    assert board.current.read() == 0
    with pytest.raises(BadRequest, match="0 seconds"):
        board.power.tick(0)
    assert "has no HDMI" in board.run("board hdmi on").stderr


def test_the_console_is_a_stream(board: Reservation) -> None:
    board.power.off()
    console = board.console
    assert board.console is console
    board.power.on()
    assert console.expect(b"login: ").startswith(b"\r\nboot")
    console.write(b"uname\r")
    console.expect(b"uname: heard")
    with board.open_console(write=False) as looking:
        console.write(b"again\r")
        looking.expect(b"again: heard")
        assert select.select([console], [], [], 5)[0]
        console.expect(b"again: heard")
        with pytest.raises(TimeoutError, match="no b'never'"):
            looking.expect(b"never", timeout=0.05)
        with pytest.raises(Busy, match="somebody writes there already"):
            board.open_console()
    console.close()
    assert not console.isalive()
    board.console.write(b"anew\r")
    board.console.expect(b"anew: heard")


def test_the_same_as_coroutines(farm: Lab) -> None:
    async def story() -> None:
        async with aio.Farm(data=None) as made:
            await made.simulate(1)
            async with made.reserve({}, timeout=30) as board:
                await board.power.on()
                assert await board.power.is_on()
                assert await board.current.read() == 230
                with await board.open_console() as end:
                    reader, writer = await asyncio.open_connection(sock=end.dup())
                    writer.write(b"hi\r")
                    assert b"hi" in await reader.readuntil(b"heard")
                    writer.close()
                    await writer.wait_closed()

    asyncio.run(story())

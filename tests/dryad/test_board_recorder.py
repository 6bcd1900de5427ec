"""A recording of the current that the agent keeps for the holder."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from boruta.domain.errors import ActionRefused, BadRequest, BorutaError, InfraError
from dryad.board import orders
from dryad.board.recorder import READINGS_MOST, Recorder
from dryad.board.service import BoardService
from dryad.hardware.muxpi import MuxPi
from dryad.hardware.port import Hardware, NoHardware
from dryad.hardware.simulated import SimulatedHardware
from dryad.hardware.stm import Stm
from dryad.hardware.stm_simulator import Fault, StmSimulator
from tests.dryad.fakes import FakeClock, settle
from tests.dryad.stm_kit import with_stm


class Counting(SimulatedHardware):
    """Its target takes 1 mA more at each reading."""

    count = 0
    broken: Exception | None = None

    async def current(self) -> int:
        if self.broken is not None:
            raise self.broken
        self.count += 1
        return self.count


Say = Callable[..., str]


def with_recorder(story: Callable[[FakeClock, Counting, Say], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, hardware = FakeClock(), Counting()
        recorder = Recorder(clock)

        def say(*words: str) -> str:
            out, fault = orders.keep_record(recorder, hardware, words)
            if fault is not None:
                raise fault
            return out

        await story(clock, hardware, say)
        recorder.drop()

    asyncio.run(run())


def test_a_recording_goes_on_by_itself_until_it_has_its_readings() -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        assert say("start", "3", "6") == ""
        await settle()
        assert say("get") == ""  # the first one comes after an interval
        await clock.advance(2)
        assert say("get") == "1\n"
        await clock.advance(60)
        assert say("get") == "1,2,3\n"
        assert hardware.count == 3
        assert say("get") == "1,2,3\n"

    with_recorder(story)


def test_it_is_120_readings_in_a_minute_unless_told_otherwise() -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        say("start")
        await settle()
        await clock.advance(59)
        assert len(say("get").split(",")) == 118
        say("start", "2")
        await settle()
        await clock.advance(60)
        assert say("get") == "119,120\n"

    with_recorder(story)


def test_what_was_recorded_stays_when_it_is_stopped_and_a_new_one_replaces_it() -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        say("stop")  # no harm
        say("start", "10", "10")
        await settle()
        await clock.advance(2)
        say("stop")
        await clock.advance(20)
        assert say("get") == "1,2\n"
        say("start", "10", "10")
        await settle()
        await clock.advance(1)
        assert say("get") == "3\n"

    with_recorder(story)


def test_readings_that_would_come_late_are_left_out_and_made_later() -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        at = []

        class Slow(Counting):
            async def current(self) -> int:
                at.append(clock.now())
                if len(at) == 1:
                    await clock.sleep(2.5)  # a tick of power has the line
                return len(at)

        recorder, begun = Recorder(clock), clock.now()
        recorder.start(Slow(), 3, 3.0)
        await settle()
        await clock.advance(9)
        assert [when - begun for when in at] == [1, 4, 5]

    with_recorder(story)


@pytest.mark.parametrize("broken", [InfraError("port: gone"), ZeroDivisionError("driver")])
def test_a_fault_ends_it_and_is_told_with_what_there_is(broken: Exception) -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        say("start", "10", "10")
        await settle()
        await clock.advance(2)
        hardware.broken = broken
        await clock.advance(1)
        hardware.broken = None
        await clock.advance(5)
        assert hardware.count == 2
        with pytest.raises(BorutaError, match=str(broken)):
            say("get")
        say("start", "1", "1")
        await settle()
        await clock.advance(1)
        assert say("get") == "3\n"

    with_recorder(story)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "want: board record start"),
        ("begin", "want: board record start"),
        ("get 3", "want: board record start"),
        ("start 0", "'0' (allowed: 1 to 100000)"),
        ("start 120960000 1209600", "(allowed: 1 to 100000)"),
        ("start 10 x", "want: board record start"),
        ("start 10 0", "0 seconds (allowed: 0.003 to 1.2096e+06)"),
        ("start 10 1e9", "1e9 seconds (allowed"),
        ("start 10 0.02", "10 readings in 0.02 s are one in 2 ms (allowed: one in 3 ms"),
    ],
)
def test_what_makes_no_sense_is_refused_and_disturbs_no_recording(words: str, why: str) -> None:
    async def story(clock: FakeClock, hardware: Counting, say: Say) -> None:
        say("start", "1", "1")
        with pytest.raises(BadRequest) as told:
            say(*words.split())
        assert why in told.value.message
        await settle()
        await clock.advance(1)
        assert say("get") == "1\n"

    with_recorder(story)


def test_a_board_without_a_meter_records_nothing() -> None:
    recorder = Recorder(FakeClock())
    with pytest.raises(ActionRefused, match="measures no current"):
        orders.keep_record(recorder, NoHardware(), ["start"])
    with pytest.raises(ActionRefused, match="no sample was recorded"):
        orders.keep_record(recorder, SimulatedHardware(), ["get"])


def test_an_stm_is_free_between_two_readings_and_its_silence_ends_the_recording() -> None:
    async def story(simulator: StmSimulator, stm: Stm) -> None:
        board, clock = MuxPi(stm), FakeClock()
        recorder = Recorder(clock)
        recorder.start(board, 3, 3.0)
        await settle()
        await board.set_power(True)
        await clock.advance(1)
        await until_read(recorder, 1)
        assert not board.stm.doing
        assert await board.power()
        simulator.fail(Fault.SILENT, 99)
        await clock.advance(1)
        async with asyncio.timeout(10):
            while recorder.read()[1] is None:
                await asyncio.sleep(0.01)
        text, fault = recorder.read()
        assert len(text.split(",")) == 1
        assert "no answer" in str(fault)

    with_stm(story, within_s=0.1)


async def until_read(recorder: Recorder, readings: int) -> None:
    async with asyncio.timeout(10):
        while len(recorder.read()[0].split(",")) != readings or not recorder.read()[0]:
            await asyncio.sleep(0.01)


# --- over the socket
@asynccontextmanager
async def serving(path: Path, hardware: Hardware, clock: FakeClock) -> AsyncIterator[BoardService]:
    board = BoardService(path, hardware, None, clock)
    await board.start()
    board.open(os.geteuid())
    yield board
    await board.stop()


async def asked(path: Path, *words: str) -> dict[str, object]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
    writer.write(json.dumps({"words": words}).encode() + b"\n")
    answer: dict[str, object] = json.loads(await reader.readline())
    writer.close()
    return answer


def test_the_recording_ends_with_the_job_and_the_next_holder_sees_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        clock, hardware, path = FakeClock(), Counting(), tmp_path / "board.sock"
        async with serving(path, hardware, clock) as board:
            assert await asked(path, "record", "start", str(READINGS_MOST), "100000") == {"out": ""}
            await clock.advance(2)
            assert await asked(path, "record", "get") == {"out": "1,2\n"}
            await board.close()
            board.open(os.geteuid())
            await clock.advance(5)
            assert hardware.count == 2
            assert "no sample" in str((await asked(path, "record", "get"))["error"])
            await asked(path, "record", "start", "5", "5")
            await clock.advance(1)
            hardware.broken = InfraError("the meter is gone")
            await clock.advance(1)
            answer = await asked(path, "record", "get")
            assert (answer["out"], answer["error"]) == ("3\n", "the meter is gone")
            assert answer["status"] == InfraError.exit_status

    asyncio.run(story())

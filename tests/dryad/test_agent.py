"""What an agent does with commands: epochs, repeats, the end of a session."""

from __future__ import annotations

import asyncio

import pytest

from boruta.domain.commands import Checks, Done, Healthcheck, PrepareDone
from boruta.domain.errors import InfraError, InternalLogicError, SessionAlive, StaleEpoch
from boruta.domain.types import Check, Epoch
from dryad.hardware.simulated import SimulatedHardware
from dryad.lease import Remembered
from tests.dryad.fakes import (
    HOST_KEY,
    KEY,
    OTHER_KEY,
    Board,
    Forgetful,
    end,
    lease,
    maintain,
    prepare,
    settle,
)


def test_prepare_ends_what_was_readies_the_hardware_and_lets_the_key_in() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.log.clear()
        board.hardware.powered, board.hardware.side = True, "dut"
        reply = await board.agent.handle(prepare(key=KEY))
        assert reply == PrepareDone("boruta-user", (HOST_KEY,))
        assert board.sessions.log == ["end", "let_in 1"]
        assert board.sessions.open_key == KEY
        assert (board.hardware.powered, board.hardware.side) == (False, "ts")

    asyncio.run(story())


def test_an_agent_sweeps_before_it_does_anything_else() -> None:
    async def story() -> None:
        board = Board()
        assert await board.agent.start() == "127.0.0.1:7022"
        assert board.sessions.log == ["start", "end"]

    asyncio.run(story())


def test_maintenance_ends_the_session_and_shows_the_message() -> None:
    async def story() -> None:
        board = await Board().lent()
        assert await board.agent.handle(maintain(1, 2, "new cable")) == Done()
        assert not board.is_open
        assert board.hardware.display == "new cable"
        assert board.agent.job is None

    asyncio.run(story())


def test_a_healthcheck_tells_the_findings() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        assert await board.agent.handle(Healthcheck()) == Checks(
            (Check("disk", True, "1 GiB free"),)
        )

    asyncio.run(story())


# --- epochs
@pytest.mark.parametrize(
    "command", [prepare(1, 2), prepare(0, 9), maintain(1, 2), lease(1, 2), end(1, 3)]
)
def test_a_command_of_an_older_life_is_refused_and_changes_nothing(command: object) -> None:
    async def story() -> None:
        board = await Board().prepared(server=2, board=3)
        with pytest.raises(StaleEpoch):
            await board.agent.handle(command)  # type: ignore[arg-type]
        assert board.sessions.open_key == KEY
        assert board.agent.epoch == Epoch(2, 3)

    asyncio.run(story())


def test_ending_the_session_of_an_older_board_epoch_succeeds_and_leaves_the_newer_holder() -> None:
    async def story() -> None:
        board = await Board().prepared(server=2, board=3)
        ends = board.sessions.ends
        assert await board.agent.handle(end(1, 2)) == Done()
        assert board.is_open
        assert board.sessions.ends == ends

    asyncio.run(story())


def test_an_old_session_that_a_failed_prepare_left_alive_is_ended_not_reported_as_over() -> None:
    async def story() -> None:
        board = await Board().lent()
        board.sessions.stubborn = 2
        with pytest.raises(SessionAlive):
            await board.agent.handle(prepare(1, 2))
        with pytest.raises(SessionAlive):
            await board.agent.handle(end(1, 1))
        assert await board.agent.handle(end(1, 1)) == Done()

    asyncio.run(story())


def test_the_highest_pair_is_durable_before_anything_is_done_under_it() -> None:
    seen: list[tuple[Epoch, int]] = []

    class Watched(Forgetful):
        async def save(self, what: Remembered) -> None:
            seen.append((what.epoch, board.sessions.ends))
            await super().save(what)

    board = Board(memory=Watched())

    async def story() -> None:
        await board.agent.start()
        ends = board.sessions.ends
        await board.agent.handle(prepare(4, 9))
        assert (Epoch(4, 9), ends) in seen

    asyncio.run(story())


def test_nothing_is_done_under_an_epoch_that_cannot_be_remembered() -> None:
    class Full(Forgetful):
        full = False

        async def save(self, what: Remembered) -> None:
            if self.full:
                raise InfraError("no space left on device")
            await super().save(what)

    async def story() -> None:
        memory = Full()
        board = await Board(memory=memory).prepared()
        memory.full = True
        with pytest.raises(InfraError, match="no space"):
            await board.agent.handle(prepare(1, 2, OTHER_KEY))
        assert board.sessions.open_key == KEY
        memory.full = False
        await board.agent.handle(prepare(1, 2, OTHER_KEY))
        assert board.sessions.open_key == OTHER_KEY

    asyncio.run(story())


# --- repeats
def test_the_same_command_answers_as_the_first_time_without_doing_it_again() -> None:
    async def story() -> None:
        board = await Board().prepared()
        ends = board.sessions.ends
        first = await board.agent.handle(prepare())
        assert first == await board.agent.handle(prepare())
        assert board.sessions.ends == ends

    asyncio.run(story())


def test_a_repeat_during_execution_joins_the_running_one() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.hold, ends = asyncio.Event(), board.sessions.ends
        tasks = [asyncio.create_task(board.agent.handle(prepare())) for _ in range(3)]
        await settle()
        assert board.sessions.ends == ends + 1
        board.sessions.hold.set()
        assert len(set(await asyncio.gather(*tasks))) == 1
        assert board.sessions.log.count("let_in 1") == 1

    asyncio.run(story())


def test_a_command_goes_on_when_its_asker_is_gone_and_the_next_one_joins() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.hold, ends = asyncio.Event(), board.sessions.ends
        first = asyncio.create_task(board.agent.handle(prepare()))
        await settle()
        first.cancel()
        await settle()
        second = asyncio.create_task(board.agent.handle(prepare()))
        board.sessions.hold.set()
        assert isinstance(await second, PrepareDone)
        assert board.sessions.ends == ends + 1
        assert board.sessions.log.count("let_in 1") == 1

    asyncio.run(story())


def test_another_key_under_the_same_epoch_is_another_command() -> None:
    async def story() -> None:
        board = await Board().prepared(key=KEY)
        await board.agent.handle(prepare(key=OTHER_KEY))
        assert board.sessions.open_key == OTHER_KEY

    asyncio.run(story())


def test_a_failed_command_is_tried_again_when_it_is_repeated() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.stubborn = 1
        with pytest.raises(SessionAlive):
            await board.agent.handle(prepare())
        assert not board.is_open
        assert isinstance(await board.agent.handle(prepare()), PrepareDone)

    asyncio.run(story())


def test_a_command_overtaken_while_it_waits_for_its_turn_is_stale() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.hold, ends = asyncio.Event(), board.sessions.ends
        slow = asyncio.create_task(board.agent.handle(prepare(1, 1)))
        await settle()
        overtaken = asyncio.create_task(board.agent.handle(prepare(1, 2)))
        await settle()
        newest = asyncio.create_task(board.agent.handle(maintain(1, 3)))
        await settle()
        board.sessions.hold.set()
        for one in (slow, overtaken):
            with pytest.raises(StaleEpoch):
                await one
        assert await newest == Done()
        assert not board.is_open
        assert board.sessions.ends == ends + 2  # the slow one's and the newest one's
        assert not any(line.startswith("let_in") for line in board.sessions.log)

    asyncio.run(story())


def test_a_maintenance_overtaken_while_it_waits_for_its_turn_closes_nothing() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        board.sessions.hold = asyncio.Event()
        slow = asyncio.create_task(board.agent.handle(prepare(1, 1)))
        await settle()
        overtaken = asyncio.create_task(board.agent.handle(maintain(1, 2)))
        await settle()
        newest = asyncio.create_task(board.agent.handle(prepare(1, 3)))
        await settle()
        board.sessions.hold.set()
        for one in (slow, overtaken):
            with pytest.raises(StaleEpoch):
                await one
        await newest
        assert board.is_open
        assert board.sessions.log.count("let_in 3") == 1
        assert board.sessions.log[-1] == "let_in 3"

    asyncio.run(story())


def test_an_end_that_waits_for_its_turn_does_not_end_the_session_let_in_meanwhile() -> None:
    async def story() -> None:
        board = await Board().lent()
        board.sessions.hold = asyncio.Event()
        newer = asyncio.create_task(board.agent.handle(prepare(1, 2)))
        await settle()
        older = asyncio.create_task(board.agent.handle(end(1, 1)))
        await settle()
        board.sessions.hold.set()
        await newer
        assert await older == Done()
        assert board.is_open
        assert board.agent.epoch == Epoch(1, 2)

    asyncio.run(story())


def test_a_reply_comes_only_when_nothing_of_the_holder_is_left() -> None:
    async def story() -> None:
        board = await Board().lent()
        board.sessions.stubborn = 1
        with pytest.raises(SessionAlive):
            await board.agent.handle(end())
        assert await board.agent.handle(end()) == Done()

    asyncio.run(story())


def test_a_defect_of_the_hardware_is_an_error_of_the_command_and_leaves_the_board_closed() -> None:
    class Breaking(SimulatedHardware):
        async def ready(self) -> None:
            if self.display == "broken":
                raise OSError("the wire fell off")

    async def story() -> None:
        board = await Board(hardware=Breaking()).lent()
        board.hardware.display = "broken"
        with pytest.raises(InternalLogicError, match="wire fell off"):
            await board.agent.handle(prepare(1, 2))
        assert not board.is_open

    asyncio.run(story())


def test_closing_stops_the_sessions_and_what_runs() -> None:
    async def story() -> None:
        board = await Board().lent()
        board.sessions.hold = asyncio.Event()
        running = asyncio.create_task(board.agent.handle(end()))
        await settle()
        await board.agent.close()
        await board.agent.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert board.sessions.log[-1] == "stop"
        assert board.hardware.closed

    asyncio.run(story())

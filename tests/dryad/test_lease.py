"""How an agent keeps a job's time by itself, and what a server's answer means to it."""

from __future__ import annotations

import asyncio

import pytest

from boruta.domain.commands import EndedJob, KeptJob, Registered
from boruta.domain.errors import ActionRefused, InfraError
from boruta.domain.types import Epoch, WorkerInfo, WorkerState
from dryad.lease import Remembered
from tests.dryad.fakes import Board, Forgetful, lease, prepare


# --- the clock
def test_the_agent_ends_a_job_by_its_own_clock_and_says_so() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.clock.advance(599)
        assert board.is_open
        assert board.agent.job == KeptJob(7, 1, 1.0, 1)
        await board.clock.advance(1)
        assert not board.is_open
        assert board.agent.job is None
        assert board.agent.ended == EndedJob(7, 1, "time_up")
        assert board.news == 1

    asyncio.run(story())


def test_a_newer_end_replaces_the_older_one() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.agent.handle(lease(remaining_s=900, rev=2))
        await board.clock.advance(899)
        assert board.is_open
        await board.clock.advance(1)
        assert not board.is_open

    asyncio.run(story())


def test_a_shorter_end_counts_if_it_is_newer() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.agent.handle(lease(remaining_s=10, rev=2))
        await board.clock.advance(10)
        assert not board.is_open

    asyncio.run(story())


@pytest.mark.parametrize("rev", [1, 2])
def test_a_lease_that_is_not_newer_moves_nothing(rev: int) -> None:
    async def story() -> None:
        board = await Board().prepared()
        await board.agent.handle(lease(remaining_s=100, rev=2))
        await board.agent.handle(lease(remaining_s=5000, rev=rev))
        await board.clock.advance(100)
        assert not board.is_open

    asyncio.run(story())


def test_a_lease_is_never_answered_from_memory() -> None:
    async def story() -> None:
        board = await Board().lent(10)
        await board.clock.advance(10)
        with pytest.raises(ActionRefused):
            await board.agent.handle(lease(remaining_s=10))

    asyncio.run(story())


def test_a_new_server_life_prolongs_the_same_job() -> None:
    async def story() -> None:
        board = await Board().lent(100)
        await board.agent.handle(lease(server=5, board=1, remaining_s=300, rev=2))
        await board.clock.advance(299)
        assert board.is_open
        assert board.agent.epoch == Epoch(5, 1)

    asyncio.run(story())


def test_a_login_before_the_lease_lasts_the_default_time() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.handle(prepare(default=20))
        await board.clock.advance(3600)  # nobody is in: the key waits
        assert board.is_open
        board.sessions.log_in()
        await board.clock.advance(19)
        assert board.is_open
        await board.clock.advance(1)
        assert not board.is_open

    asyncio.run(story())


def test_the_default_time_is_sixty_seconds_at_most() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.handle(prepare(default=9999))
        board.sessions.log_in()
        await board.clock.advance(60)
        assert not board.is_open

    asyncio.run(story())


def test_the_default_time_counts_once_an_epoch() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.handle(prepare(default=20))
        board.sessions.log_in()
        await board.clock.advance(15)
        board.sessions.log_in()
        await board.clock.advance(5)
        assert not board.is_open

    asyncio.run(story())


def test_the_lease_replaces_the_default_time() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.handle(prepare(default=20))
        board.sessions.log_in()
        await board.agent.handle(lease(remaining_s=600))
        await board.clock.advance(599)
        assert board.is_open

    asyncio.run(story())


def test_a_login_after_the_lease_changes_nothing() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        board.sessions.log_in()
        await board.clock.advance(599)
        assert board.is_open
        await board.clock.advance(1)
        assert not board.is_open

    asyncio.run(story())


def test_a_lease_that_comes_after_the_default_time_is_refused_and_the_server_told() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.handle(prepare(default=20))
        board.sessions.log_in()
        await board.clock.advance(20)
        with pytest.raises(ActionRefused):
            await board.agent.handle(lease())
        assert board.agent.ended == EndedJob(7, 1, "time_up")
        assert board.news == 1

    asyncio.run(story())


def test_a_prolong_that_comes_too_late_revives_nothing() -> None:
    async def story() -> None:
        board = await Board().lent(10)
        await board.clock.advance(10)
        with pytest.raises(ActionRefused):
            await board.agent.handle(lease(remaining_s=600, rev=2))
        assert not board.is_open
        assert board.agent.job is None

    asyncio.run(story())


def test_a_session_that_will_not_die_is_ended_again_and_again_and_reported() -> None:
    async def story() -> None:
        board = await Board().lent(10)
        board.sessions.stubborn = 3
        await board.clock.advance(10)
        assert len(board.faults) == 1
        for seconds, faults in ((1, 2), (1, 2), (1, 3), (3, 3), (1, 3)):
            await board.clock.advance(seconds)
            assert len(board.faults) == faults
        assert board.sessions.stubborn == 0
        assert not board.sessions.active

    asyncio.run(story())


def test_the_clock_ends_the_job_even_if_nothing_can_be_written() -> None:
    class Full(Forgetful):
        full = False

        async def save(self, what: Remembered) -> None:
            if self.full:
                raise InfraError("no space left on device")

    async def story() -> None:
        memory = Full()
        board = await Board(memory=memory).lent(10)
        memory.full = True
        await board.clock.advance(10)
        assert not board.is_open

    asyncio.run(story())


def test_a_prepare_settles_what_the_clock_ended() -> None:
    async def story() -> None:
        board = await Board().lent(10)
        await board.clock.advance(10)
        await board.agent.handle(prepare(1, 2))
        assert board.agent.ended is None

    asyncio.run(story())


# --- what the server answers to a registration
def reply(board: int = 1, job: KeptJob | None = None, server: int = 2) -> Registered:
    return Registered(WorkerInfo("b1", WorkerState.IDLE), Epoch(server, board), job)


def test_a_job_goes_on_if_the_server_names_the_same_id_and_board_epoch() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.agent.registered(reply(job=KeptJob(7, 1, 600, 1)), None)
        assert board.is_open
        assert board.agent.job is not None
        assert board.agent.epoch == Epoch(2, 1)

    asyncio.run(story())


@pytest.mark.parametrize(
    "job", [None, KeptJob(8, 1, 600, 1), KeptJob(7, 2, 600, 1)], ids=["none", "id", "epoch"]
)
def test_any_other_answer_ends_the_session(job: KeptJob | None) -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.agent.registered(reply(job=job), None)
        assert not board.is_open
        assert board.agent.job is None

    asyncio.run(story())


def test_a_lost_lease_comes_with_the_answer() -> None:
    async def story() -> None:
        board = await Board().prepared()
        await board.agent.registered(reply(job=KeptJob(7, 1, 30, 1)), None)
        await board.clock.advance(29)
        assert board.is_open
        await board.clock.advance(1)
        assert not board.is_open

    asyncio.run(story())


def test_a_newer_end_in_the_answer_counts_and_an_equal_one_does_not() -> None:
    async def story() -> None:
        board = await Board().lent(600)
        await board.agent.registered(reply(job=KeptJob(7, 1, 5, 1)), None)
        await board.clock.advance(5)
        assert board.is_open
        await board.agent.registered(reply(job=KeptJob(7, 1, 5, 2)), None)
        await board.clock.advance(5)
        assert not board.is_open

    asyncio.run(story())


def test_a_prepared_board_that_nobody_used_stays_prepared() -> None:
    async def story() -> None:
        board = await Board().prepared()
        await board.agent.registered(reply(board=1), None)
        assert board.is_open

    asyncio.run(story())


def test_a_prepared_board_is_closed_if_the_server_is_at_another_epoch() -> None:
    async def story() -> None:
        board = await Board().prepared()
        await board.agent.registered(reply(board=2), None)
        assert not board.is_open

    asyncio.run(story())


def test_a_login_that_the_server_knows_nothing_of_is_ended() -> None:
    async def story() -> None:
        board = await Board().prepared()
        board.sessions.log_in()
        await board.agent.registered(reply(), None)
        assert not board.is_open

    asyncio.run(story())


def test_a_server_that_believes_in_a_job_that_is_over_is_told() -> None:
    async def story() -> None:
        board = Board()
        await board.agent.start()
        await board.agent.registered(reply(job=KeptJob(7, 1, 600, 1)), None)
        assert board.agent.ended == EndedJob(7, 1, "board_failed")
        assert board.news == 1

    asyncio.run(story())


def test_what_ended_is_remembered_until_a_registration_that_said_it_was_answered() -> None:
    async def story() -> None:
        board = await Board().lent(10)
        await board.clock.advance(10)
        ended = board.agent.ended
        await board.agent.registered(reply(board=2), None)
        assert board.agent.ended == ended
        await board.agent.registered(reply(board=2), ended)
        assert board.agent.ended is None

    asyncio.run(story())


def test_a_session_that_cannot_be_given_up_is_reported() -> None:
    async def story() -> None:
        board = await Board().lent()
        board.sessions.stubborn = 1
        await board.agent.registered(reply(), None)
        assert len(board.faults) == 1

    asyncio.run(story())

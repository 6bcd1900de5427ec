"""What an agent tells its server of its own accord, and over which connection."""

from __future__ import annotations

from boruta.domain.errors import FailRefused
from tests.dryad.fakes import prepare, settle
from tests.dryad.world import PREPARE, World, in_a_world


def test_every_link_of_one_process_has_the_same_session() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.connection.move(["elsewhere"], None, insecure=True)  # type: ignore[list-item]
        await settle()
        first, second = world.server.links
        assert first.closed
        assert first.options["session"] == second.options["session"]
        assert second.servers == ("elsewhere",)
        assert len(world.server.registrations) == 2

    in_a_world(story)


def test_a_job_ended_by_the_clock_is_told_over_a_new_connection() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=9.0, end_rev=1)
        await world.board.clock.advance(9)
        await world.waits.advance(2)
        assert world.server.registrations[-1]["ended"] == {
            "id": 7,
            "epoch": 1,
            "reason_code": "time_up",
        }
        assert world.board.agent.ended is None
        await world.waits.advance(100)
        assert len(world.server.registrations) == 2

    in_a_world(story)


def test_a_job_that_the_server_ended_at_the_same_moment_needs_no_telling() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=9.0, end_rev=1)
        await world.board.clock.advance(9)
        await world.server.command("dryad.prepare", **{**PREPARE, "epoch": [1, 2]})
        await world.waits.advance(100)
        assert len(world.server.registrations) == 1

    in_a_world(story)


def test_a_server_that_believes_in_a_job_that_is_over_is_told_by_a_second_registration() -> None:
    async def story(world: World) -> None:
        world.server.job = {"id": 7, "epoch": 1, "remaining_s": 600.0, "end_rev": 2}
        await world.begin()
        world.server.job = None
        await world.waits.advance(2)
        assert world.server.registrations[-1]["ended"] == {
            "id": 7,
            "epoch": 1,
            "reason_code": "board_failed",
        }

    in_a_world(story)


def test_a_fault_is_reported_now_or_after_the_next_registration() -> None:
    async def story(world: World) -> None:
        world.board.agent.report("too early")
        await world.begin()
        assert world.server.faults == ["too early"]
        world.server.links[-1].down()
        world.board.agent.report("while away")
        await settle()
        assert world.server.faults == ["too early"]
        await world.server.links[-1].up()
        await settle()
        assert world.server.faults == ["too early", "while away"]

    in_a_world(story)


def test_a_fault_of_a_board_that_is_out_of_service_already_is_dropped() -> None:
    async def story(world: World) -> None:
        await world.begin()
        world.server.refuses_fail = FailRefused("worker b1 is MAINTENANCE")
        world.board.agent.report("the disk is full")
        await settle()
        world.server.links[-1].down()
        await world.server.links[-1].up()
        await settle()
        assert len(world.server.faults) == 1

    in_a_world(story)


def test_a_repeated_prepare_over_a_new_connection_answers_as_the_first_time() -> None:
    async def story(world: World) -> None:
        await world.begin()
        first = await world.server.command("dryad.prepare", **PREPARE)
        world.server.links[-1].down()
        world.server.epoch = [1, 1]
        await world.server.links[-1].up()
        assert await world.server.command("dryad.prepare", **PREPARE) == first
        assert world.board.sessions.log.count("let_in 1") == 1
        assert await world.board.agent.handle(prepare()) is not None

    in_a_world(story)

"""How an agent keeps itself registered; the link is a stand-in, the agent a real one."""

from __future__ import annotations

import asyncio
import logging

import pytest

from boruta.domain.errors import ActionRefused, NotPermitted, TimedOut, UUIDInUse
from tests.dryad.fakes import settle
from tests.dryad.world import CAPS, PREPARE, World, in_a_world


def test_an_agent_registers_after_the_hello() -> None:
    async def story(world: World) -> None:
        await world.begin()
        assert world.server.registrations == [
            {
                "caps": dict(CAPS),
                "dryad_address": "",
                "ssh_address": "127.0.0.1:7022",
                "epoch": [0, 0],
            }
        ]
        assert world.connection.registered
        assert len(world.answers) == 1

    in_a_world(story)


def test_an_agent_registers_again_after_each_loss_with_what_it_holds() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=600.0, end_rev=2)
        world.server.links[-1].down()
        assert not world.connection.registered
        world.server.job = {"id": 7, "epoch": 1, "remaining_s": 600.0, "end_rev": 2}
        await world.server.links[-1].up()
        said = world.server.registrations[-1]
        assert said["job"] == {"id": 7, "epoch": 1, "remaining_s": 600.0, "end_rev": 2}
        assert said["epoch"] == [1, 1]
        assert world.board.is_open

    in_a_world(story)


def test_a_session_that_the_server_does_not_confirm_is_ended_before_any_command() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=600.0, end_rev=2)
        world.server.links[-1].down()
        world.board.sessions.log.clear()
        world.board.sessions.hold = asyncio.Event()
        coming = asyncio.create_task(world.server.links[-1].up())
        await settle()
        early = asyncio.create_task(
            world.server.command("dryad.prepare", **{**PREPARE, "epoch": [2, 2]})
        )
        look = asyncio.create_task(world.server.command("dryad.healthcheck"))
        await settle()
        assert not look.done()
        assert world.board.sessions.log == ["end"]
        world.board.sessions.hold.set()
        await coming
        await early
        await look
        assert world.board.sessions.log == ["end", "end", "let_in 2"]

    in_a_world(story)


def test_a_loss_during_the_sweep_does_not_break_it_off() -> None:
    async def story(world: World) -> None:
        await world.begin()
        await world.server.command("dryad.prepare", **PREPARE)
        world.server.links[-1].down()
        world.server.epoch = [2, 9]
        world.board.sessions.hold = asyncio.Event()
        coming = asyncio.create_task(world.server.links[-1].up())
        await settle()
        coming.cancel()
        await settle()
        assert not world.connection.registered
        world.board.sessions.hold.set()
        await settle()
        ends = world.board.sessions.ends
        assert not world.board.is_open
        await world.server.links[-1].up()
        assert world.connection.registered
        assert world.board.sessions.ends == ends

    in_a_world(story)


def test_heartbeats_carry_the_job() -> None:
    async def story(world: World) -> None:
        await world.begin()
        assert world.server.beat == {}
        await world.server.command("dryad.prepare", **PREPARE)
        await world.server.command("dryad.lease", epoch=[1, 1], id=7, remaining_s=9.0, end_rev=1)
        assert world.server.beat == {"job": {"id": 7, "epoch": 1}}

    in_a_world(story)


def test_commands_are_answered_as_the_wire_wants_it() -> None:
    async def story(world: World) -> None:
        await world.begin()
        found = await world.server.command("dryad.prepare", **PREPARE)
        assert found["username"] == "boruta-user"
        assert await world.server.command("dryad.end_session", epoch=[1, 1], reason="closed") == {}
        assert await world.server.command("dryad.healthcheck") == {
            "checks": [{"name": "disk", "ok": True, "detail": "1 GiB free"}]
        }

    in_a_world(story)


def test_an_agent_that_stops_leaves_commands_unanswered_rather_than_failed() -> None:
    async def story(world: World) -> None:
        await world.begin()
        world.board.sessions.hold = asyncio.Event()
        running = asyncio.create_task(world.server.command("dryad.prepare", **PREPARE))
        await settle()
        await world.board.agent.close()
        late = asyncio.create_task(
            world.server.command("dryad.put_in_maintenance", epoch=[1, 2], msg="x")
        )
        await settle()
        assert not running.done()
        assert not late.done()
        for call in (running, late):  # as the link does when it is closed
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    in_a_world(story)


def test_a_refused_registration_says_one_line_and_is_tried_again_slower_and_slower(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(world: World) -> None:
        world.server.refuses_register = UUIDInUse("worker b1 is alive at 10.0.0.9")
        with caplog.at_level(logging.WARNING, "dryad"):
            await world.begin()
            await world.waits.advance(200)
        tries = len(world.server.registrations)
        assert 5 <= tries <= 12
        lines = [line for line in caplog.text.splitlines() if "not_registered" in line]
        assert len(lines) == 1
        assert "uuid_in_use" in lines[0]
        world.server.refuses_register = None
        await world.waits.advance(60)
        assert world.connection.registered
        assert len(world.server.links) == 1

    in_a_world(story)


@pytest.mark.parametrize("why", [TimedOut("no answer"), ActionRefused("registered already")])
def test_an_answer_to_the_registration_that_got_lost_costs_the_connection(why: Exception) -> None:
    async def story(world: World) -> None:
        world.server.refuses_register = why  # type: ignore[assignment]
        await world.begin()
        world.server.refuses_register = None
        await world.waits.advance(10)
        # The server may have said yes: it takes no second registration over the same connection.
        assert len(world.server.links) == 2
        await world.server.links[-1].up()
        assert world.connection.registered

    in_a_world(story)


def test_a_key_that_is_not_admitted_says_one_line_and_is_tried_again_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(world: World) -> None:
        world.server.refuses = NotPermitted("the server does not admit this key")
        with caplog.at_level(logging.WARNING, "dryad"):
            await world.begin()
            await world.waits.advance(200)
        assert 5 <= len(world.server.links) <= 12
        lines = [line for line in caplog.text.splitlines() if "not_connected" in line]
        assert len(lines) == 1
        assert "not_permitted" in lines[0]
        world.server.refuses = None
        await world.waits.advance(60)
        assert world.connection.registered

    in_a_world(story)

"""How an agent keeps itself registered; the link is a stand-in, the agent a real one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from boruta.domain.errors import (
    BorutaError,
    FailRefused,
    NotPermitted,
    Unreachable,
    UUIDInUse,
)
from boruta.domain.types import Capabilities
from dryad.connection import Connection
from tests.dryad.fakes import KEY, Board, FakeClock, prepare, settle

CAPS = Capabilities(UUID="b1", arch="armv7l")
PREPARE = {"epoch": [1, 1], "key": KEY, "default_lease_s": 60.0}


class FakeLink:
    """One link; the server behind it is `Server`."""

    def __init__(self, server: Server, servers: Any, keys: Any, **options: Any) -> None:
        self.server = server
        self.servers, self.options = servers, options
        self.connected = False
        self.closed = False
        self.last_error: BorutaError | None = None

    async def open(self, timeout: float | None = None) -> dict[str, Any]:
        if self.server.refuses is not None:
            raise self.server.refuses
        await self.up()
        return {}

    async def up(self) -> None:
        await self.options["on_up"]({"server": "boruta", "name": "agent"})
        self.connected = True

    def down(self) -> None:
        self.connected = False
        self.options["on_down"](Unreachable("the connection was lost"))

    async def call(self, kind: str, body: dict[str, Any], timeout: float | None = None) -> Any:
        self.connected = True
        return self.server.answer(kind, dict(body))

    async def close(self) -> None:
        self.connected = False
        self.closed = True


class Server:
    """What the server does with the calls of one agent."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refuses: BorutaError | None = None
        self.refuses_register: BorutaError | None = None
        self.refuses_fail: BorutaError | None = None
        self.job: dict[str, Any] | None = None
        self.epoch = [1, 0]

    def make_link(self, servers: Any, keys: Any, **options: Any) -> Any:
        self.links.append(FakeLink(self, servers, keys, **options))
        return self.links[-1]

    def answer(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((kind, body))
        if kind == "superviser.set_fail":
            if self.refuses_fail is not None:
                raise self.refuses_fail
            return {}
        if self.refuses_register is not None:
            raise self.refuses_register
        found: dict[str, Any] = {"worker": "b1", "epoch": list(self.epoch)}
        return found if self.job is None else {**found, "job": self.job}

    @property
    def registrations(self) -> list[dict[str, Any]]:
        return [body for kind, body in self.calls if kind == "superviser.register"]

    @property
    def faults(self) -> list[str]:
        return [body["reason"] for kind, body in self.calls if kind == "superviser.set_fail"]

    async def command(self, kind: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.links[-1].options["on_call"](kind, body)
        return answer

    @property
    def beat(self) -> dict[str, Any]:
        found: dict[str, Any] = self.links[-1].options["beat_body"]()
        return found


class World:
    """A board, its connection, and the server."""

    def __init__(self) -> None:
        self.board = Board()
        self.server = Server()
        self.waits = FakeClock()
        self.answers: list[Any] = []

    async def __aenter__(self) -> World:
        address = await self.board.agent.start()
        self.connection = Connection(
            self.board.agent,
            caps=CAPS,
            ssh_address=address,
            servers=["the server"],  # type: ignore[list-item]
            keys=None,
            on_registered=self.answers.append,
            make_link=self.server.make_link,
            sleep=self.waits.sleep,
        )
        return self

    async def begin(self) -> None:
        self.connection.open()
        await settle()

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        await self.board.agent.close()
        assert all(link.closed for link in self.server.links)


def in_a_world(story: Callable[[World], Any]) -> None:
    async def run() -> None:
        async with World() as world:
            await story(world)

    asyncio.run(run())


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

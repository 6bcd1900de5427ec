from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from boruta.domain import defaults
from boruta.domain.commands import (
    Checks,
    Done,
    EndedJob,
    EndSession,
    Healthcheck,
    KeptJob,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
    Registration,
)
from boruta.domain.errors import BorutaError, StaleEpoch
from boruta.domain.types import Capabilities, Check, Epoch, Role
from tests.transport.fake import Clock, Place, eventually, place, refused, run
from tests.transport.raw import Raw
from transport.client import KeyPair, Link
from transport.remote_dryad import RemoteSuperviser

KEY = "ssh-ed25519 " + "A" * 68


class Agent:
    """An agent that answers as it is told."""

    def __init__(self, there: Place, keys: KeyPair | None = None, **options: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any] | BorutaError] = {
            "dryad.prepare": {"username": "board", "host_keys": [KEY]},
            "dryad.healthcheck": {"checks": [{"name": "disk", "ok": True, "detail": ""}]},
        }
        self.link: Link = there.link(
            keys or there.admit("agent", Role.WORKER), "worker", on_call=self.on_call, **options
        )

    async def on_call(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((kind, body))
        answer = self.answers.get(kind, {})
        if isinstance(answer, BorutaError):
            raise answer
        return answer

    async def register(self, uuid: str = "u1", ssh: str = ":7022", **more: Any) -> Any:
        await self.link.open(5.0)
        said = Registration(Capabilities(UUID=uuid), ssh, **more)
        return await RemoteSuperviser(self.link).register(said, 10.0)


async def asked(port: Any, command: Any, within_s: float = 5.0) -> Any:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    port.send(command, within_s, answer.set_result)
    return await answer


async def raw_agent(there: Place, keys: KeyPair, uuid: str = "u1") -> Raw:
    """An agent that is registered and then says nothing, whatever it is asked."""
    peer = there.raw(keys)
    await peer.hello("worker")
    answer = await peer.call("superviser.register", caps={"UUID": uuid}, ssh_address=":7022")
    assert "body" in answer, answer
    return peer


def test_every_command_reaches_the_agent_and_its_answer_comes_back() -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            _, port = there.front.registrations[0]
            epoch = Epoch(3, 4)
            assert await asked(port, Prepare(epoch, KEY, 60.0)) == PrepareDone("board", (KEY,))
            assert await asked(port, Lease(epoch, 7, 12.5, 2)) == Done()
            assert await asked(port, PutInMaintenance(epoch, "why")) == Done()
            assert await asked(port, Healthcheck()) == Checks((Check("disk", ok=True),))
            assert await asked(port, EndSession(epoch, "over")) == Done()
            pair = [3, 4]
            assert agent.asked == [
                ("dryad.prepare", {"epoch": pair, "key": KEY, "default_lease_s": 60.0}),
                ("dryad.lease", {"epoch": pair, "id": 7, "remaining_s": 12.5, "end_rev": 2}),
                ("dryad.put_in_maintenance", {"epoch": pair, "msg": "why"}),
                ("dryad.healthcheck", {}),
                ("dryad.end_session", {"epoch": pair, "reason": "over"}),
            ]

    run(story)


def test_what_an_agent_says_when_it_registers_reaches_the_engine_and_back() -> None:
    async def story() -> None:
        async with place() as there:
            session = os.urandom(16)
            agent = Agent(there, session=session)
            job, ended = KeptJob(5, 4, 10.0, 2), EndedJob(4, 3, "time_up")
            done = await agent.register(
                ssh="127.0.0.1:7022", epoch=Epoch(2, 4), job=job, ended=ended
            )
            assert done.worker.worker_uuid == "u1"
            assert (done.epoch, done.job, done.first) == (Epoch(3, 4), job, True)
            said, _ = there.front.registrations[0]
            assert (said.epoch, said.job, said.ended) == (Epoch(2, 4), job, ended)
            assert said.session == session
            assert said.ssh_address == "127.0.0.1:7022"

    run(story)


def test_an_error_of_the_agent_is_the_answer_to_the_command() -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            agent.answers["dryad.lease"] = StaleEpoch("seen a higher one", seen=[9, 9])
            error = await asked(there.front.registrations[0][1], Lease(Epoch(1, 1), 1, 1.0, 1))
            assert isinstance(error, StaleEpoch)
            assert error.details["seen"] == [9, 9]

    run(story)


@pytest.mark.parametrize(
    "answer",
    [
        {"username": "-oProxyCommand=evil", "host_keys": [KEY]},
        {"username": "Board", "host_keys": [KEY]},
        {"username": "a b", "host_keys": [KEY]},
        {"username": "board\n", "host_keys": [KEY]},
        {"username": "board", "host_keys": [KEY + " comment"]},
        {"username": "board", "host_keys": ["@cert-authority * " + KEY]},
        {"username": "board", "host_keys": [KEY + "\nevil ssh-ed25519 AAAA"]},
        {"username": "board", "host_keys": ["host " + KEY]},
        {"username": "board"},
        {"username": "board", "host_keys": []},
        {"username": 7, "host_keys": []},
    ],
)
def test_a_username_or_host_key_that_could_reach_ssh_is_not_used(answer: dict[str, Any]) -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            agent.answers["dryad.prepare"] = answer
            error = await asked(there.front.registrations[0][1], Prepare(Epoch(1, 1), KEY, 60.0))
            assert isinstance(error, BorutaError)
            assert "cannot be used" in str(error)

    run(story)


def test_what_an_agent_writes_steers_nobodys_terminal() -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            port = there.front.registrations[0][1]
            evil = "x\x1b]0;owned\x07\0"
            agent.answers["dryad.healthcheck"] = {
                "checks": [{"name": evil, "ok": False, "detail": evil}]
            }
            found = await asked(port, Healthcheck())
            assert isinstance(found, Checks)
            agent.answers["dryad.lease"] = StaleEpoch(evil + "z" * 4000)
            error = await asked(port, Lease(Epoch(1, 1), 1, 1.0, 1))
            assert isinstance(error, StaleEpoch)
            assert len(error.message) <= defaults.REASON_BYTES
            for text in (found.checks[0].name, found.checks[0].detail, error.message):
                assert text.startswith("x")
                assert text.isprintable()

    run(story)


def test_a_command_without_answer_times_out_and_a_lost_agent_is_unreachable() -> None:
    async def story() -> None:
        clock = Clock()
        async with place(clock=clock) as there:
            with await raw_agent(there, there.admit("mute", Role.WORKER)):
                _, port = there.front.registrations[0]
                waiting = asyncio.ensure_future(asked(port, Healthcheck(), 0.9))
                late = asyncio.ensure_future(asked(port, Healthcheck(), 60.0))
                await asyncio.sleep(0)
                clock.ahead += 0.95
                there.server.look()
                assert (await waiting).code == "timed_out"
            assert (await late).code == "unreachable"
            await there.front.until(lambda: there.front.of("worker_lost"))
            assert there.front.of("worker_lost") == [("worker_lost", "u1", port)]
            assert (await asked(port, Healthcheck())).code == "unreachable"

    run(story)


def test_the_engine_may_cut_an_agent_which_is_told_why_and_comes_back() -> None:
    async def story() -> None:
        async with place() as there:
            downs: list[BorutaError] = []
            said: list[tuple[str, dict[str, Any]]] = []
            agent = Agent(
                there, on_down=downs.append, on_notice=lambda *notice: said.append(notice)
            )
            await agent.register()
            there.front.registrations[0][1].cut("because\nit is old")
            await eventually(lambda: downs)
            assert [(kind, body["reason"]) for kind, body in said if kind == "goodbye"] == [
                ("goodbye", "because\nit is old")
            ]
            assert downs[0].message.endswith("said goodbye: because it is old")
            await there.front.until(lambda: there.front.of("worker_lost"))
            await agent.register()
            assert len(there.front.registrations) == 2

    run(story)


def test_a_second_agent_with_a_live_uuid_is_refused_and_the_first_goes_on() -> None:
    async def story() -> None:
        async with place() as there:
            keys = there.admit("both", Role.WORKER)
            first, second = Agent(there, keys), Agent(there, keys)
            await first.register()
            error = await refused(second.register())
            assert error.code == "uuid_in_use"
            _, port = there.front.registrations[0]
            assert await asked(port, EndSession(Epoch(1, 1), "")) == Done()
            assert not there.front.of("worker_lost")
            assert len(there.front.registrations) == 1
            other = await second.register("u2")
            assert other.worker.worker_uuid == "u2", "it may try another UUID"

    run(story)


def test_a_new_agent_replaces_one_that_does_not_answer_a_ping() -> None:
    async def story() -> None:
        async with place() as there:
            keys = there.admit("board", Role.WORKER)
            with await raw_agent(there, keys) as mute:
                began = asyncio.get_running_loop().time()
                done = await Agent(there, keys).register()
                assert not done.first
                assert 1.5 < asyncio.get_running_loop().time() - began < 5.0
                assert await mute.cut()
            assert [news[0] for news in there.front.news if news[0] != "registering"] == [
                "registered",
                "worker_lost",
                "registered",
            ]

    run(story)


def test_the_same_process_replaces_its_old_connection_at_once() -> None:
    async def story() -> None:
        async with place() as there:
            keys, session = there.admit("board", Role.WORKER), os.urandom(16)
            with there.raw(keys) as old:
                await old.hello("worker", session)
                await old.call("superviser.register", caps={"UUID": "u1"}, ssh_address=":7022")
                async with asyncio.timeout(1.5):
                    await Agent(there, keys, session=session).register()
                assert await old.cut()
                assert there.server.stats()["workers"] == 1

    run(story)


def test_another_key_never_gets_a_live_uuid_nor_cuts_its_agent() -> None:
    async def story() -> None:
        async with place() as there:
            with await raw_agent(there, there.admit("owner", Role.WORKER)) as mute:
                thief = Agent(there, there.admit("thief", Role.WORKER))
                assert (await refused(thief.register())).code == "uuid_in_use"
                assert "body" in await mute.call("ping")

    run(story)


def test_a_connection_registers_once() -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            assert (await refused(agent.register("u2"))).code == "action_refused"

    run(story)


def test_an_agent_that_is_lost_while_it_registers_is_not_taken_for_alive() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_register = asyncio.Event()
            with there.raw(there.admit("b", Role.WORKER)) as peer:
                await peer.hello("worker")
                peer.say(
                    {
                        "v": 1,
                        "id": 9,
                        "type": "superviser.register",
                        "body": {"caps": {"UUID": "u1"}, "ssh_address": ":7022"},
                    }
                )
                await there.front.until(lambda: there.front.of("registering"))
            await there.front.until(lambda: there.front.of("worker_lost"))
            there.front.hold_register.set()
            await there.front.until(lambda: len(there.front.of("worker_lost")) == 2)
            assert there.front.news[-2][0] == "registered", "told again, after it was taken in"

    run(story)


def test_heartbeats_of_an_agent_reach_the_engine_and_carry_its_job() -> None:
    async def story() -> None:
        async with place() as there:
            beats = []

            def beat_body() -> dict[str, Any]:
                beats.append(1)
                return {"job": {"id": 3, "epoch": 9}}

            clock = Clock()
            agent = Agent(there, beat_body=beat_body, clock=clock)
            await agent.register()
            while not beats:  # in steps: a leap would be a standstill
                clock.ahead += 0.45
                await asyncio.sleep(0.1)
            await there.front.until(lambda: there.front.of("worker_heard"))
            assert there.front.of("worker_heard")[0][1] == "u1"
            with there.raw(role=Role.WORKER) as peer:
                await peer.hello("worker")
                for _ in range(10):
                    peer.say({"v": 1, "type": "heartbeat", "body": {"job": {"id": "x"}}})
                assert await peer.cut(), "ten notices that cannot be read are ten bad frames"

    run(story)


def test_caps_without_uuid_and_addresses_without_port_are_refused() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw(role=Role.WORKER) as peer:
                await peer.hello("worker")
                for caps, ssh, code in [
                    ({"arch": "x"}, ":7022", "caps_missing_uuid"),
                    ({"UUID": "u1"}, "127.0.0.1", "bad_address"),
                    ({"UUID": "u1"}, "127.0.0.1:0", "bad_address"),
                    ({"UUID": "u1"}, "10.0.0.1:22", "bad_address"),
                    ({"UUID": "u1"}, "example.org:22", "bad_address"),
                ]:
                    answer = await peer.call("superviser.register", caps=caps, ssh_address=ssh)
                    assert answer["error"]["code"] == code
                assert not there.front.registrations

    run(story)


def test_an_agent_reports_its_own_board_and_no_other() -> None:
    async def story() -> None:
        async with place() as there:
            agent = Agent(there)
            await agent.register()
            superviser = RemoteSuperviser(agent.link)
            await superviser.set_fail("u1", "smoke")
            assert there.front.of("set_fail") == [("set_fail", "u1", "smoke")]
            assert (await refused(superviser.set_fail("u2", "smoke"))).code == "not_permitted"

    run(story)

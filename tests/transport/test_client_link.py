from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import BadRequest, BorutaError
from tests.transport.fake import Clock, eventually, free_port, link_to, place, refused, run
from tests.transport.raw import WELCOME, Stub
from transport.client import Link


def test_a_silent_server_is_left_after_7_s_for_the_next_one() -> None:
    async def story() -> None:
        clock = Clock()
        first, second = Stub(hello=WELCOME), Stub(hello=WELCOME, ping={"body": {}})
        downs: list[BorutaError] = []
        link = link_to(first.url, second.url, clock=clock, on_down=downs.append)
        await link.open(5.0)
        asking = asyncio.ensure_future(link.call("ping", {}))
        began = clock()
        while not downs:
            clock.ahead += 0.4
            await asyncio.sleep(0.25)  # a larger step is a standstill
        assert 7.0 <= clock() - began < 12.0
        assert "silent" in str(downs[0])
        assert await asking == {}, "asked again, of the other server"
        assert [m["type"] for m in first.heard].count("heartbeat") >= 1
        await link.close()
        await first.close()
        await second.close()

    run(story)


def test_a_standstill_of_the_client_is_no_silence_of_the_server() -> None:
    async def story() -> None:
        clock = Clock()
        async with place() as there:
            downs: list[BorutaError] = []
            link = await there.user(clock=clock, on_down=downs.append)
            clock.ahead += 3600.0
            await asyncio.sleep(0.8)  # a look of the link
            await link.call("ping", {}, 5.0)
            assert not downs

    run(story)


def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            before = there.server.stats()["calls"]
            for body in (
                {"caps": {"a": "x" * 10**7}, "priority": 8},
                {"caps": {}, "priority": 8, "note": "ü" * 600},
                {"caps": {str(n): "" for n in range(65)}, "priority": 8},
            ):
                assert (await refused(link.call("requests.new", body))).code == "too_large"
            assert (await refused(link.call("requests.get", {"id": "x"}))).code == "bad_request"
            assert (await refused(link.call("requests.dance", {}))).code == "unknown_type"
            assert there.server.stats()["calls"] == before

    run(story)


def test_calls_time_out_connected_or_not() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME)
        link = link_to(stub.url)
        await link.open(5.0)
        assert (await refused(link.call("ping", {}, 0.05))).code == "timed_out"
        await stub.close()
        await eventually(lambda: not link.connected)
        error = await refused(link.call("ping", {}, 0.05))
        assert error.code == "timed_out"
        await eventually(lambda: "nothing answers" in str(link.last_error))
        assert "nothing answers" in str(await refused(link.call("ping", {}, 0.05)))
        await link.close()

    run(story)


def test_a_call_that_its_caller_gives_up_is_forgotten() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME)
        link = link_to(stub.url)
        await link.open(5.0)
        asking = asyncio.ensure_future(link.call("ping", {}))
        await eventually(lambda: stub.heard[-1]["type"] == "ping")
        asking.cancel()
        await asyncio.wait({asking})
        stub.say({"v": 1, "re": stub.heard[-1]["id"], "body": {}})
        stub.answers["ping"] = {"body": {}}
        assert await link.call("ping", {}, 5.0) == {}
        await link.close()
        await stub.close()

    run(story)


def test_an_answer_that_is_not_as_agreed_is_an_internal_error() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME, requests_new={"body": {"id": "seven"}})
        link = link_to(stub.url)
        await link.open(5.0)
        error = await refused(link.call("requests.new", {"caps": {}, "priority": 8}))
        assert error.code == "internal"
        assert "reply to requests.new" in str(error)
        await link.close()
        await stub.close()

    run(story)


@pytest.mark.parametrize("how", ["ten bad frames", "several parts"])
def test_a_server_that_talks_nonsense_is_left(how: str) -> None:
    async def story() -> None:
        downs: list[BorutaError] = []
        stub = Stub(hello=WELCOME)
        link = link_to(stub.url, on_down=downs.append)
        await link.open(5.0)
        if how == "ten bad frames":
            for _ in range(10):
                stub.frame(b"\xc1")
        else:
            stub.frame(b"\x80", b"\x80")
        await eventually(lambda: downs)
        await eventually(lambda: link.connected)
        await link.close()
        await stub.close()

    run(story)


def test_notices_of_the_server_are_passed_on_and_unknown_ones_ignored() -> None:
    async def story() -> None:
        notices: list[tuple[str, dict[str, Any]]] = []
        stub = Stub(hello=WELCOME, ping={"body": {}})
        link = link_to(stub.url, on_notice=lambda kind, body: notices.append((kind, body)))
        await link.open(5.0)
        stub.say({"v": 1, "type": "news", "body": {}})
        stub.say({"v": 1, "type": "heartbeat", "body": {}})
        stub.say({"v": 1, "type": "event_gap", "body": {"seq": 5}})  # not as agreed
        stub.say({"v": 1, "type": "goodbye", "body": {"reason": "bye"}})
        await eventually(lambda: notices)
        assert notices == [("goodbye", {"reason": "bye"})]
        await link.close()
        await stub.close()

    run(story)


def test_calls_of_the_server_to_a_user_are_answered_unknown_type_but_for_ping() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME)
        link = link_to(stub.url)
        await link.open(5.0)
        stub.say({"v": 1, "id": 1, "type": "ping", "body": {}})
        stub.say({"v": 1, "id": 2, "type": "dryad.prepare", "body": {}})
        await eventually(lambda: len(stub.heard) == 3)
        assert stub.heard[1] == {"v": 1, "re": 1, "body": {}}
        assert stub.heard[2]["error"]["code"] == "unknown_type"
        await link.close()
        await stub.close()

    run(story)


def test_a_worker_answers_internal_for_a_defect_and_busy_for_too_many() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def on_call(kind: str, body: dict[str, Any]) -> dict[str, Any]:
            await go.wait()
            raise RuntimeError("broken")

        stub = Stub(hello=WELCOME)
        link = link_to(stub.url, role="worker", on_call=on_call)
        await link.open(5.0)
        for number in range(1, 66):
            stub.say({"v": 1, "id": number, "type": "dryad.healthcheck", "body": {}})
        await eventually(lambda: len(stub.heard) == 2)
        assert (stub.heard[1]["re"], stub.heard[1]["error"]["code"]) == (65, "busy")
        go.set()
        await eventually(lambda: len(stub.heard) == 66)
        assert {m["error"]["code"] for m in stub.heard[2:]} == {"internal"}
        await link.close()
        await stub.close()

    run(story)


def test_more_calls_than_the_server_takes_at_once_wait_their_turn() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_new = asyncio.Event()
            link = await there.user()
            many = [
                asyncio.ensure_future(link.call("requests.new", {"caps": {}, "priority": 8}))
                for _ in range(600)
            ]
            await there.front.until(lambda: len(there.front.of("new")) == 240)
            there.front.hold_new.set()
            assert sorted(one["id"] for one in await asyncio.gather(*many)) == list(range(1, 601))

    run(story)


def test_on_up_comes_before_calls_that_wait_and_its_own_calls_go_first() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME, ping={"body": {}}, server_info={"body": {"a": 1}})
        seen: list[bool] = []

        async def on_up(hello: dict[str, Any]) -> None:
            seen.append(link.connected)
            assert await link.call("server.info", {}, 5.0) == {"a": 1}

        link = link_to(stub.url, on_up=on_up)
        early = asyncio.ensure_future(link.call("ping", {}, 5.0))
        await asyncio.sleep(0)
        await link.open(5.0)
        await early
        assert [m["type"] for m in stub.heard] == ["hello", "server.info", "ping"]
        assert seen == [True]
        await link.close()
        await stub.close()

    run(story)


def test_a_connection_whose_greeting_fails_is_given_up_for_the_next() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME)
        tries: list[int] = []

        async def on_up(hello: dict[str, Any]) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise RuntimeError("broken")
            if len(tries) == 2:
                raise BadRequest("refused")

        link = link_to(stub.url, on_up=on_up)
        # A refusal is told; the link goes on by itself.
        assert (await refused(link.open(10.0))).code == "bad_request"
        await link.open(10.0)
        assert len(tries) == 3
        await link.close()
        await stub.close()

    run(story)


def test_close_answers_whoever_waits_and_leaves_no_descriptor() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user("warm")  # the shared context is there from now on
            await link.close()
            await eventually(lambda: there.server.stats()["peers"] == 0)
            before = sorted(os.listdir("/proc/self/fd"))
            for _ in range(5):
                link = there.link(there.admit("x" + os.urandom(4).hex()))
                await link.open(5.0)
                asking = asyncio.ensure_future(link.call("requests.get", {"id": 1}))
                await asyncio.sleep(0)
                await link.close()
                await link.close()
                assert (await refused(asking)).code in ("shutting_down", "not_found")
                assert (await refused(link.call("ping", {}))).code == "shutting_down"
                assert (await refused(link.open())).code == "shutting_down"
            await eventually(lambda: there.server.stats()["peers"] == 0)
            await eventually(lambda: len(os.listdir("/proc/self/fd")) <= len(before))

    assert Path("/proc/self/fd").exists()
    run(story)


def test_close_while_it_connects_leaves_nothing() -> None:
    async def story() -> None:
        link = link_to(f"tcp://127.0.0.1:{free_port()}")
        opening = asyncio.ensure_future(link.open())
        await asyncio.sleep(0.01)
        await link.close()
        assert (await refused(opening)).code == "shutting_down"

    run(story)


def test_links_of_several_loops_in_several_threads_do_not_disturb_each_other() -> None:
    async def story() -> None:
        async with place() as there:
            failures: list[BaseException] = []
            keys = [there.admit(f"user{n}") for n in range(4)]

            def work(number: int) -> None:
                async def talk() -> None:
                    link = Link([there.address], keys[number], role="user", software="t")
                    await link.open(10.0)
                    for _ in range(50):
                        await link.call("ping", {}, 10.0)
                    await link.close()

                try:
                    asyncio.run(talk())
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            await eventually(lambda: not any(thread.is_alive() for thread in threads), 20.0)
            assert not failures

    run(story)

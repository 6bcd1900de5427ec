from __future__ import annotations

import asyncio
from typing import Any

import pytest

from boruta.domain.errors import BorutaError
from boruta.domain.types import ReqState, Role
from tests.transport.fake import eventually, link_to, place, refused, run
from tests.transport.raw import WELCOME, Stub
from transport.client import Address, Link
from transport.remote_feed import RemoteFeed
from transport.remote_requests import RemoteRequests, RemoteWorkers


def test_after_a_restart_on_the_same_port_the_session_and_what_waits_go_on() -> None:
    async def story() -> None:
        async with place() as there:
            ups: list[dict[str, Any]] = []
            downs: list[BorutaError] = []

            async def on_up(hello: dict[str, Any]) -> None:
                ups.append(hello)

            link = await there.user(on_up=on_up, on_down=downs.append)
            requests = RemoteRequests(link)
            req_id = await requests.new_request({}, 8)
            getting = asyncio.ensure_future(requests.acquire_worker(req_id, 60.0))
            await there.front.until(lambda: there.front.of("acquiring"))
            url = there.server.url
            await there.restart(pause=True)
            await eventually(lambda: not link.connected)
            meanwhile = asyncio.ensure_future(requests.get_request_info(req_id))
            await asyncio.sleep(0)
            there.start_again(url)
            assert (await meanwhile).id == req_id
            await there.front.until(lambda: len(there.front.of("acquiring")) == 2)
            left = there.front.of("acquiring")[1][2]
            assert 30.0 < left < 60.0, "what is left of the time-out is asked for"
            there.front.boards[req_id].set_result(None)
            assert (await getting).port == 4022
            assert [up["session_kept"] for up in ups] == [False, True]
            assert len(downs) == 1

    run(story)


def test_a_call_that_may_not_be_sent_again_fails_and_says_that_its_outcome_is_unknown() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_check = asyncio.Event()
            link = await there.user("root", Role.ADMIN)
            checking = asyncio.ensure_future(RemoteWorkers(link).check("u1"))
            await there.front.until(lambda: there.front.of("check"))
            there.cut_all()
            error = await refused(checking)
            assert error.code == "unreachable"
            assert error.details["outcome"] == "unknown"
            there.front.hold_check.set()
            await link.call("ping", {}, 5.0)
            assert len(there.front.of("check")) == 1

    run(story)


def test_a_subscription_whose_answer_was_lost_is_made_over_the_next_connection() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME)
        link = link_to(stub.url)
        await link.open(5.0)
        watching = asyncio.ensure_future(RemoteFeed(link).subscribe(lambda _: None))
        await eventually(lambda: stub.heard[-1]["type"] == "events.subscribe")
        stub.answers["events_subscribe"] = {"body": {"seq": "life-1"}}
        stub.say({"v": 1, "type": "goodbye", "body": {"reason": "again", "retry_after_s": 0.2}})
        (await watching).close()
        await link.close()
        await stub.close()

    run(story)


def test_a_new_whose_answer_was_lost_has_its_effect_once() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_new = asyncio.Event()
            link = await there.user()
            making = asyncio.ensure_future(RemoteRequests(link).new_request({}, 8))
            await there.front.until(lambda: there.front.of("new"))
            there.cut_all()
            there.front.hold_new.set()
            assert await making == 1
            assert there.front.of("new again") == [("new again", 1)]
            assert list(there.front.infos) == [1]

    run(story)


def test_a_new_without_token_is_not_sent_again() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_new = asyncio.Event()
            link = await there.user()
            making = asyncio.ensure_future(link.call("requests.new", {"caps": {}, "priority": 8}))
            await there.front.until(lambda: there.front.of("new"))
            there.cut_all()
            assert (await refused(making)).details["outcome"] == "unknown"
            there.front.hold_new.set()

    run(story)


@pytest.mark.parametrize("server_restarts", [False, True])
def test_a_close_whose_answer_was_lost_succeeds(server_restarts: bool) -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            requests = RemoteRequests(link)
            req_id = await requests.new_request({}, 8)
            there.front.hold_close = asyncio.Event()
            closing = asyncio.ensure_future(requests.close_request(req_id))
            await there.front.until(lambda: there.front.of("closed"))
            if server_restarts:
                await there.restart()
            else:
                there.cut_all()
                there.front.hold_close.set()
            await closing
            assert there.front.infos[req_id].state is ReqState.CANCEL
            assert (await refused(requests.close_request(req_id))).code == "action_refused"

    run(story)


def test_a_prolong_has_a_token_of_its_own_each_time() -> None:
    async def story() -> None:
        async with place() as there:
            requests = RemoteRequests(await there.user())
            assert (await requests.prolong_access(1)).prolongs_left == 9
            assert (await requests.prolong_access(1)).prolongs_left == 8
            assert (await requests.prolong_access(1, token="t")).prolongs_left == 7
            assert (await requests.prolong_access(1, token="t")).prolongs_left == 7

    run(story)


def test_calls_that_were_never_sent_go_out_in_their_order() -> None:
    async def story() -> None:
        stub = Stub(hello=WELCOME, ping={"body": {}}, server_info={"body": {}})
        link = Link([Address(stub.url)], None, role="user", software="t", insecure=True)
        kinds = ["ping", "server.info", "ping", "ping", "server.info"]
        calls = [asyncio.ensure_future(link.call(kind, {}, 5.0)) for kind in kinds]
        await asyncio.sleep(0)
        await link.open(5.0)
        await asyncio.gather(*calls)
        assert [m["type"] for m in stub.heard] == ["hello", *kinds]
        assert [m["id"] for m in stub.heard] == list(range(1, 7))
        await link.close()
        await stub.close()

    run(story)


def test_after_goodbye_new_calls_wait_for_the_next_connection() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            there.server.announce_stop("an update")
            waiting: asyncio.Future[Any] | None = None

            def noticed(kind: str, body: dict[str, Any]) -> None:
                nonlocal waiting
                waiting = asyncio.ensure_future(link.call("ping", {}, 10.0))

            link.on_notice.append(noticed)
            await eventually(lambda: waiting is not None)
            calls = there.server.stats()["calls"]
            await there.restart()
            assert waiting is not None
            assert await waiting == {}
            assert there.server.stats()["calls"] >= 1
            assert calls == 1, "the stopping server got the hello and nothing more"

    run(story)


def test_an_acquire_outlives_a_server_that_stops() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            requests = RemoteRequests(link)
            req_id = await requests.new_request({}, 8)
            getting = asyncio.ensure_future(requests.acquire_worker(req_id))
            await there.front.until(lambda: there.front.of("acquiring"))
            there.server.announce_stop("an update")
            await there.restart()
            await there.front.until(lambda: len(there.front.of("acquiring")) == 2)
            there.front.boards[req_id].set_result(None)
            assert (await getting).username == "board"

    run(story)


def test_a_link_that_is_cut_again_and_again_keeps_coming_back() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            for _ in range(4):
                there.cut_all()
                await eventually(lambda: not link.connected)
                assert await link.call("ping", {}, 10.0) == {}
            await eventually(lambda: there.server.stats()["peers"] == 1)

    run(story)


def test_what_a_stopping_server_refuses_is_asked_of_the_next() -> None:
    async def story() -> None:
        stopping = {"error": {"code": "shutting_down", "message": "stopping", "details": {}}}
        first, second = Stub(hello=WELCOME), Stub(hello=WELCOME, ping={"body": {}})
        link = Link(
            [Address(first.url), Address(second.url)],
            None,
            role="user",
            software="t",
            insecure=True,
        )
        await link.open(5.0)
        asking = asyncio.ensure_future(link.call("ping", {}))
        await eventually(lambda: first.heard[-1]["type"] == "ping")
        first.say({"v": 1, "type": "goodbye", "body": {}})
        first.say({"v": 1, "re": first.heard[-1]["id"], **stopping})
        await eventually(lambda: not link._outstanding._line)
        await first.close()
        assert await asking == {}
        await link.close()
        await second.close()

    run(story)

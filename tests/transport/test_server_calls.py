from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from boruta.domain import defaults
from boruta.domain.types import ListDirection, ListInfo, ReqInfo, Role, WorkerInfo, WorkerState
from tests.transport.engine import AT, FakeFront
from tests.transport.fake import eventually, make_server, pair, place, run
from transport.codec import unpack
from transport.paging import packed_page
from transport.peers import Peer


def test_a_defect_of_the_engine_is_answered_internal_and_the_server_goes_on() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.break_info = True
            with there.raw() as peer:
                await peer.hello()
                answer = await peer.call("server.info")
                assert answer["error"]["code"] == "internal"
                assert "oddly" not in answer["error"]["message"], "the log has the details"
                assert "body" in await peer.call("ping")
                assert there.server.stats()["internal_errors"] == 1

    run(story)


def test_an_error_of_the_engine_is_passed_on_with_its_details() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                error = (await peer.call("requests.get", id=7))["error"]
                assert error == {
                    "code": "not_found",
                    "message": "request 7 not found",
                    "details": {"id": 7},
                }

    run(story)


def test_a_body_with_a_wrong_field_is_refused_by_its_name() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                error = (await peer.call("requests.get", id="seven"))["error"]
                assert error["code"] == "bad_request"
                assert "body.id" in error["message"]

    run(story)


def test_a_close_sent_again_over_a_new_connection_finds_its_own_effect() -> None:
    async def story() -> None:
        async with place() as there:
            keys, session = there.admit("ann"), os.urandom(16)
            with there.raw(keys) as first:
                await first.hello(session=session)
                await first.call("requests.new", caps={}, priority=8)
                await first.call("requests.new", caps={}, priority=8)
                assert "body" in await first.call("requests.close", id=1)
                again = await first.call("requests.close", id=1)
                assert again["error"]["code"] == "action_refused", "closing twice is an error"
            with there.raw(keys) as second:
                await second.hello(session=session)
                assert "body" in await second.call("requests.close", id=1)
            with there.raw(keys) as stranger:
                await stranger.hello()
                answer = await stranger.call("requests.close", id=1)
                assert answer["error"]["code"] == "action_refused", "another session's effect"

    run(story)


def test_who_waits_to_acquire_stops_waiting_with_his_connection() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                await peer.call("requests.new", caps={}, priority=8)
                peer.say({"v": 1, "id": 90, "type": "requests.acquire", "body": {"id": 1}})
                await there.front.until(lambda: there.front.of("acquiring"))
            await there.front.until(lambda: there.front.of("acquire cancelled"))
            await eventually(lambda: there.server.stats()["calls_in_flight"] == 0)

    run(story)


def test_an_acquire_that_is_cancelled_before_its_first_step_leaves_nothing() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                await peer.call("requests.new", caps={}, priority=8)
                peer.say({"v": 1, "id": 90, "type": "requests.acquire", "body": {"id": 1}})
                while not there.server.stats()["calls_in_flight"]:  # the loop stands meanwhile
                    there.server._router.drain_all()
                there.cut_all()
                await eventually(lambda: there.server.stats()["calls_in_flight"] == 0)
                assert not there.front.of("acquiring")

    run(story)


def test_what_else_was_begun_goes_on_after_its_connection_is_lost() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_new = asyncio.Event()
            with there.raw() as peer:
                await peer.hello()
                peer.say(
                    {"v": 1, "id": 90, "type": "requests.new", "body": {"caps": {}, "priority": 8}}
                )
                await there.front.until(lambda: there.front.of("new"))
            await there.front.until(lambda: there.front.of("session_lost"))
            assert there.server.stats()["calls_in_flight"] == 1
            there.front.hold_new.set()
            await eventually(lambda: there.server.stats()["calls_in_flight"] == 0)

    run(story)


def test_a_key_may_wait_for_100_boards_at_once_and_no_more() -> None:
    async def story() -> None:
        async with place() as there:
            with there.raw() as peer:
                await peer.hello()
                await peer.call("requests.new", caps={}, priority=8)
                for number in range(defaults.WAITING_ACQUIRES_A_KEY + 1):
                    peer.say(
                        {"v": 1, "id": 100 + number, "type": "requests.acquire", "body": {"id": 1}}
                    )
                answer = await peer.recv()
                assert answer["error"]["code"] == "busy"
                assert answer["error"]["details"]["retry_after_s"] > 0

    run(story)


def test_a_connection_has_256_calls_in_flight_and_no_more() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.hold_new = asyncio.Event()
            with there.raw() as peer:
                await peer.hello()
                for number in range(257):
                    peer.say(
                        {
                            "v": 1,
                            "id": 100 + number,
                            "type": "requests.new",
                            "body": {"caps": {}, "priority": 8},
                        }
                    )
                answer = await peer.recv()
                assert (answer["re"], answer["error"]["code"]) == (356, "busy")
                there.front.hold_new.set()
                assert "body" in await peer.reply(100)

    run(story)


def test_a_call_counts_as_answered_before_its_reply_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with place() as there:
            left: list[int] = []
            reply = there.server._reply

            def noted(peer: Peer, number: int, outcome: Any) -> None:
                left.append(peer.in_flight)
                reply(peer, number, outcome)

            monkeypatch.setattr(there.server, "_reply", noted)
            with there.raw() as peer:
                await peer.hello()
                assert "body" in await peer.call("requests.new", caps={}, priority=8)
            assert left == [0, 0]

    run(story)


def test_a_page_ends_early_at_768_kib_and_says_how_many_remain() -> None:
    async def story() -> None:
        async with place() as there:
            for number in range(1, 1501):
                there.front.infos[number] = ReqInfo(number, 8, note="n" * 1024, created=AT)
            with there.raw() as peer:
                await peer.hello()
                seen: list[int] = []
                page: dict[str, object] = {}
                while True:
                    body = (await peer.call("requests.list", page=page))["body"]
                    assert 0 < len(body["requests"]) < 1000
                    assert body["total"] == 1500
                    seen += [one["id"] for one in body["requests"]]
                    assert body["remaining"] == 1500 - len(seen)
                    if not body["remaining"]:
                        break
                    page = {"id": seen[-1]}
                assert seen == list(range(1, 1501))
                body = (await peer.call("requests.list", page={"direction": "backward"}))["body"]
                assert body["requests"][-1]["id"] == 1500, "a page lies next to its border"
                assert body["remaining"] == 1500 - len(body["requests"])

    run(story)


def test_a_page_holds_one_item_at_least() -> None:
    huge = {"note": "n" * defaults.PAGE_BYTES}

    def page(items: list[dict[str, str]], direction: ListDirection) -> object:
        made = packed_page("items", items, lambda one: one, ListInfo(9, 3), direction)
        return unpack(asyncio.run(made).data)

    one = {"items": [huge], "total": 9, "remaining": 4}
    assert page([huge, {}], ListDirection.FORWARD) == one
    assert page([{}, huge], ListDirection.BACKWARD) == one
    assert page([], ListDirection.FORWARD) == {"items": [], "total": 9, "remaining": 3}


def test_a_page_is_packed_in_several_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.paging._TURN_S", 0.0)  # each turn has time for one slice

    async def story() -> int:
        turns = 0
        items = [{"id": number} for number in range(1000)]
        made = packed_page("items", items, dict, ListInfo(1000, 0), ListDirection.FORWARD)
        task = asyncio.ensure_future(made)
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert unpack((await task).data) == {"items": items, "total": 1000, "remaining": 0}
        return turns

    assert asyncio.run(story()) >= 10


def test_workers_are_listed_shown_and_changed() -> None:
    async def story() -> None:
        async with place() as there:
            there.front.workers_["u1"] = WorkerInfo("u1", WorkerState.IDLE, ("g",), since=AT)
            with there.raw(role=Role.ADMIN) as peer:
                await peer.hello()
                shown = (await peer.call("workers.get", worker_uuid="u1"))["body"]["worker"]
                assert (shown["state"], shown["groups"], shown["since"]) == ("IDLE", ["g"], AT)
                body = (await peer.call("workers.list", filter={"groups": ["h"]}))["body"]
                assert (body["workers"], body["total"]) == ([], 0)
                body = (await peer.call("workers.list", filter={"states": ["IDLE"]}))["body"]
                assert [one["worker_uuid"] for one in body["workers"]] == ["u1"]
                await peer.call(
                    "workers.set_state", worker_uuid="u1", state="MAINTENANCE", reason="r"
                )
                await peer.call("workers.set_groups", worker_uuid="u1", groups=["a", "b"])
                await peer.call("workers.deregister", worker_uuid="u1")
                assert there.front.news[-3:] == [
                    ("set_state", "u1", WorkerState.MAINTENANCE, "r", False),
                    ("set_groups", "u1", ("a", "b")),
                    ("deregister", "u1"),
                ]
                checks = (await peer.call("workers.check", worker_uuid="u1"))["body"]["checks"]
                assert checks[0] == {"name": "disk", "ok": True, "detail": "12 GiB free"}

    run(story)


def test_a_port_that_is_taken_is_a_clear_error_and_leaves_nothing_open() -> None:
    async def story() -> None:
        async with place() as there:
            second = make_server(FakeFront(), pair(), {}, bind=there.server.url)
            with pytest.raises(Exception, match="is in use") as caught:
                second.start()
            assert caught.value.code == "unreachable"
            await second.stop()

    run(story)


@pytest.mark.parametrize(
    ("bind", "code"),
    [
        ("nonsense", "bad_address"),
        ("tcp://203.0.113.7:0", "bad_address"),
        ("tcp://127.0.0.1", "bad_address"),
    ],
)
def test_an_address_that_cannot_be_bound_is_a_clear_error(bind: str, code: str) -> None:
    async def story() -> None:
        server = make_server(FakeFront(), pair(), {}, bind=bind)
        with pytest.raises(Exception, match=r"203|nonsense|127") as caught:
            server.start()
        assert caught.value.code == code
        await server.stop()

    run(story)

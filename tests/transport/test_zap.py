from __future__ import annotations

import pytest
import zmq
from zmq.utils import z85

from tests.transport.fake import place, run
from transport.zap import DOMAIN, admits

RAW = bytes(range(32))
KEY = z85.encode(RAW).decode()


def question(**other: bytes) -> list[bytes]:
    said = {
        "version": b"1.0",
        "id": b"7",
        "domain": DOMAIN,
        "address": b"127.0.0.1",
        "routing_id": b"claimed",
        "mechanism": b"CURVE",
        "key": RAW,
        **other,
    }
    return list(said.values())


def test_an_admitted_key_gets_in_under_its_own_name_and_no_other() -> None:
    asked = []
    answer = admits(question(), lambda key: asked.append(key) or "somebody")
    assert answer == [b"1.0", b"7", b"200", b"OK", KEY.encode(), b""]
    assert asked == [KEY]


@pytest.mark.parametrize(
    "frames",
    [
        question(version=b"2.0"),
        question(domain=b"other"),
        question(mechanism=b"NULL"),
        question(mechanism=b"PLAIN"),
        question(key=b"short"),
        [*question(), b"more"],
        question()[:6],
        [b"1.0"],
        [],
    ],
)
def test_a_question_that_is_not_of_curve_and_our_domain_is_refused(frames: list[bytes]) -> None:
    answer = admits(frames, lambda _: "somebody")
    assert len(answer) == 6
    assert (answer[2], answer[4]) == (b"400", b"")


def test_a_callback_that_raises_refuses_this_key_and_the_next_one_is_asked_again() -> None:
    def broken(_: str) -> object:
        raise RuntimeError("broken")

    assert admits(question(), broken)[2] == b"400"

    async def story() -> None:
        async with place() as there:
            good = there.admit("ann")
            admit, fails = there.server._router._door.admit, [True]

            def sometimes(key: str) -> object:
                if fails:
                    fails.pop()
                    raise RuntimeError("broken")
                return admit(key)

            there.server._router._admission._admit = sometimes
            with there.raw(good) as first:
                assert await first.cut()
            assert not fails
            with there.raw(good) as second:
                assert "body" in await second.hello()

    run(story)


def test_nobody_gets_in_where_nobody_answers_for_his_key() -> None:
    async def story() -> None:
        async with place() as there:
            there.server._router._admission.close()
            with there.raw() as peer:
                peer.say({"v": 1, "id": 1, "type": "hello", "body": {}})
                assert not await peer.event(zmq.EVENT_HANDSHAKE_SUCCEEDED, 0.3)
                assert there.server.stats()["peers"] == 0

    run(story)

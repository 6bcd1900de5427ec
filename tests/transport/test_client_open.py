from __future__ import annotations

import pytest

from boruta.domain.errors import BadAddress, BadRequest, NotPermitted
from boruta.domain.types import Role
from tests.transport.fake import free_port, link_to, pair, place, refused, run
from tests.transport.raw import Stub
from transport.client import Address, Link


def test_open_says_that_nothing_answers() -> None:
    async def story() -> None:
        url = f"tcp://127.0.0.1:{free_port()}"
        link = link_to(url)
        error = await refused(link.open(0.6))
        assert error.code == "unreachable"
        assert f"nothing answers at {url}" in str(error)
        await link.close()

    run(story)


def test_a_link_with_a_limit_of_attempts_gives_up_and_may_be_opened_again() -> None:
    async def story() -> None:
        link = link_to(f"tcp://127.0.0.1:{free_port()}", max_attempts=1)
        assert (await refused(link.open())).code == "unreachable"
        assert (await refused(link.call("ping", {}))).code == "unreachable"
        assert (await refused(link.open())).code == "unreachable"
        await link.close()

    run(story)


def test_a_name_that_nobody_knows_is_unreachable() -> None:
    async def story() -> None:
        link = link_to("tcp://no-such-host.invalid:7175", max_attempts=1)
        error = await refused(link.open(20.0))
        assert error.code == "unreachable"
        assert "no-such-host.invalid" in str(error)
        await link.close()

    run(story)


def test_a_name_is_looked_up() -> None:
    async def story() -> None:
        async with place() as there:
            port = there.server.url.rpartition(":")[2]
            address = Address(f"tcp://localhost:{port}", there.keys.public)
            link = there.link(there.admit("ann"), servers=[address])
            await link.open(10.0)
            assert (link.server_host, link.local_host) == ("localhost", "127.0.0.1")

    run(story)


@pytest.mark.parametrize("url", ["127.0.0.1:7175", "tcp://host", "tcp://host:0", "ipc:///x"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadAddress):
        link_to(url)


def test_no_keys_are_refused_unless_insecure() -> None:
    with pytest.raises(BadRequest):
        Link([Address("tcp://127.0.0.1:1")], None, role="user", software="test")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("key", "does not admit this key"),
        ("server_key", "server_key"),
        ("insecure", "one side uses keys"),
    ],
)
def test_open_says_what_is_wrong_with_the_keys(wrong: str, text: str) -> None:
    async def story() -> None:
        async with place() as there:
            keys = pair() if wrong == "key" else there.admit("ann")
            server_key = pair().public if wrong == "server_key" else there.keys.public
            link = Link(
                [Address(there.server.url, server_key)],
                keys,
                role="user",
                software="test",
                insecure=wrong == "insecure",
            )
            error = await refused(link.open(10.0))
            assert error.code == "not_permitted"
            assert text in str(error)
            await link.close()

    run(story)


def test_open_says_that_the_key_has_another_role() -> None:
    async def story() -> None:
        async with place() as there:
            link = there.link(there.admit("board", Role.WORKER))
            error = await refused(link.open(5.0))
            assert error.code == "not_permitted"
            assert "worker" in str(error)

    run(story)


def test_open_says_that_there_is_no_common_protocol() -> None:
    async def story() -> None:
        error = {"code": "unsupported_protocol", "message": "9", "details": {"protocols": [9]}}
        stub = Stub(hello={"error": error})
        link = link_to(stub.url)
        found = await refused(link.open(5.0))
        assert found.code == "unsupported_protocol"
        assert found.details["protocols"] == [9]
        await link.close()
        await stub.close()

    run(story)


def test_what_one_server_refuses_another_takes() -> None:
    async def story() -> None:
        async with place() as closed, place() as there:
            keys = there.admit("ann")
            link = there.link(
                keys,
                servers=[
                    Address(f"tcp://127.0.0.1:{free_port()}", there.keys.public),
                    closed.address,
                    there.address,
                ],
            )
            assert (await link.open(10.0))["name"] == "ann"

    run(story)


def test_an_error_of_open_is_the_caller_s_own() -> None:
    async def story() -> None:
        async with place() as there:
            link = there.link(pair())
            with pytest.raises(NotPermitted):
                await link.open(5.0)
            with pytest.raises(NotPermitted):
                await link.open(5.0)

    run(story)

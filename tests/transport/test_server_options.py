from __future__ import annotations

import os

import pytest
import zmq

from boruta.domain.defaults import FRAME_BYTES
from tests.transport.fake import place, run
from transport import sockets


def test_the_server_s_socket_has_the_options_that_keep_it_alive() -> None:
    async def story() -> None:
        async with place() as there:
            get = there.server._router._socket.getsockopt
            assert get(zmq.LINGER) == 0
            assert FRAME_BYTES < get(zmq.MAXMSGSIZE) < FRAME_BYTES + 1024
            assert get(zmq.RCVHWM) == 50
            assert get(zmq.BACKLOG) == 4096, "10,000 agents come back at once"
            assert get(zmq.HEARTBEAT_IVL) == 0, "quadratic on the server's side"
            assert get(zmq.CURVE_SERVER) == 1
            assert get(zmq.TCP_KEEPALIVE) == 1

    run(story)


def test_the_link_s_socket_beats_and_never_reconnects_by_itself() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            assert link._line is not None
            first = link._line._connection._socket
            assert first.getsockopt(zmq.LINGER) == 0
            assert first.getsockopt(zmq.RECONNECT_IVL) == -1
            assert first.getsockopt(zmq.HEARTBEAT_IVL) > 0
            there.cut_all()
            await link.call("ping", {}, 10.0)
            assert first.closed
            assert link._line._connection._socket is not first

    run(story)


def test_a_forked_process_has_a_context_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = sockets.shared_context()
    assert sockets.shared_context() is mine
    child = os.getpid() + 1
    monkeypatch.setattr(sockets.os, "getpid", lambda: child)
    other = sockets.shared_context()
    assert other is not mine
    sockets._contexts.pop(child).destroy(linger=0)


def test_a_context_has_room_for_thousands_of_links() -> None:
    assert sockets.shared_context().get(zmq.MAX_SOCKETS) > 30_000

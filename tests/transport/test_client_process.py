"""What only shows in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.transport.fake import place, run

pytestmark = pytest.mark.integration


def python(code: str, *args: str, within_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def test_a_process_that_ends_with_an_open_link_ends_at_once() -> None:
    async def story() -> None:
        import asyncio

        async with place() as there:
            keys = there.admit("ann")
            code = (
                "import asyncio, sys\n"
                "from transport.client import Address, KeyPair, Link\n"
                "async def main():\n"
                "    link = Link([Address(*sys.argv[1:3])], KeyPair(*sys.argv[3:5]),\n"
                "                role='user', software='t')\n"
                "    await link.open(10)\n"
                "    asyncio.ensure_future(link.call('ping', {}))\n"
                "    await asyncio.sleep(0)\n"
                "    print('up', flush=True)\n"
                "    sys.exit(3)\n"
                "asyncio.run(main())\n"
            )
            done = await asyncio.to_thread(
                python, code, there.server.url, there.keys.public, keys.public, keys.secret
            )
            assert (done.stdout, done.returncode) == ("up\n", 3), done.stderr
            await there.front.until(lambda: there.front.of("session_lost"))

    run(story, 50.0)


def test_an_agent_s_side_loads_neither_zmq_asyncio_nor_anything_heavy() -> None:
    code = (
        "import sys\n"
        "import transport.client, transport.remote_dryad, transport.agent_maps\n"
        "heavy = {'zmq.asyncio', 'asyncssh', 'cryptography', 'click', 'rich', 'pykka', 'actors',\n"
        "         'boruta.domain.matching', 'boruta.domain.listing', 'transport.server'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = python(code)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_routing_ids_cannot_be_guessed_from_one_process_to_the_next() -> None:
    # libzmq never seeds rand(): two servers would give the same ids, and a peer that claims the
    # one that comes next makes a server abort.
    code = (
        "import zmq\n"
        "from transport.sockets import new_context\n"
        "c = new_context(); r = c.socket(zmq.ROUTER); r.bind('inproc://x')\n"
        "d = c.socket(zmq.DEALER); d.connect('inproc://x'); d.send(b'')\n"
        "print(r.recv().hex()); c.destroy(linger=0)\n"
    )
    assert python(code).stdout != python(code).stdout

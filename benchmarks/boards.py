"""Boards that speak the agents' protocol and do nothing, in a process of their own.

They come back by themselves when the server was away, as agents do.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from boruta.domain.commands import Done, Prepare, PrepareDone, Registration
from boruta.domain.errors import BorutaError
from boruta.domain.types import Capabilities
from transport.agent_maps import command_from, command_reply_map
from transport.client import Address, KeyPair, Link
from transport.remote_dryad import RemoteSuperviser

HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zu9p1d2XgJk8pT1y0vQ6l8m3oS5b7c9d1e3f5g7h9"
AT_ONCE: Final = 50  # boards on their first way in


async def _answer(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    command = command_from(kind, body)
    if isinstance(command, Prepare):
        return command_reply_map(PrepareDone("boruta-user", (HOST_KEY,)))
    return command_reply_map(Done())


class Boards:
    """So many links of agents; says each time when all of them are registered."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._there = 0
        self._links: list[Link] = []

    async def open(self, address: Address, keys: KeyPair, number: int) -> None:
        """Brings one board in."""
        there = False

        async def up(_: dict[str, Any]) -> None:
            nonlocal there
            caps = Capabilities({"UUID": f"board-{number:05}", "arch": "bench"})
            await RemoteSuperviser(link).register(Registration(caps, "127.0.0.1:9"))
            there = True
            self._there += 1
            if self._there == self._count:
                print("registered", flush=True)

        def down(_: BorutaError) -> None:
            nonlocal there
            self._there -= there
            there = False

        link = Link(
            [address], keys, role="worker", software="benchmark", on_call=_answer, on_up=up,
            on_down=down,
        )  # fmt: skip
        self._links.append(link)
        await link.open()


async def run(address: Address, keys: KeyPair, first: int, n: int) -> None:
    """Registers the boards `first` .. `first + n - 1` and answers for ever."""
    boards, gate = Boards(n), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await boards.open(address, keys, number)

    await asyncio.gather(*(one(number) for number in range(first, first + n)))
    await asyncio.Event().wait()


def main() -> None:
    """The arguments are URL, SERVER_KEY, KEY_FILE, FIRST and N."""
    import zmq.auth

    url, server_key, key_file, first, n = sys.argv[1:]
    public, secret = zmq.auth.load_certificate(Path(key_file))
    assert secret is not None
    keys = KeyPair(public.decode(), secret.decode())
    asyncio.run(run(Address(url, server_key), keys, int(first), int(n)))


if __name__ == "__main__":
    main()

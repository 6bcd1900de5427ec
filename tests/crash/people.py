"""Clients of the tests, each with a ledger of what it asked for and was answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from boruta.aio import Client, connect
from boruta.domain.errors import BorutaError
from boruta.domain.types import AccessInfo, ReqInfo
from tests.crash.log import Log

LONGEST_S: Final = 30.0  # a call: longer than any server of the tests is away
PATIENT_S: Final = 5.0  # waits so long for a board
KEPT_WAITING: Final = 8  # requests of one client that no board will ever serve


class Person:
    """One client. What it does is drawn from its own seed."""

    def __init__(self, name: str, client: Client, seed: int, log: Log, stop: asyncio.Event) -> None:
        self._name, self._client, self._log, self._stop = name, client, log, stop
        self._random = random.Random(f"{seed}/{name}")
        self._numbers = itertools.count(1)
        self._waiting: list[int] = []

    async def run(self) -> None:
        """Does one thing after the other until it is told to stop."""
        with contextlib.suppress(BorutaError):
            while not self._stop.is_set():
                if self._random.random() < 0.5:
                    await self._work()
                else:
                    await self._queue()
                await asyncio.sleep(self._random.uniform(0.0, 0.2))

    # --- stories
    async def _work(self) -> None:
        """A board: asked for, used, given back or left to its end."""
        left = self._random.random() < 0.06
        req_id = await self._new("crash", job_timeout=2.0 if left else 60.0)
        if req_id is None:
            return
        access = await self._acquire(req_id)
        if access is not None:
            visit = asyncio.create_task(self._visit(req_id, access))
            await asyncio.sleep(self._random.uniform(0.0, 0.6))
            for _ in range(self._random.randrange(3)):
                await self._prolong(req_id)
            await asyncio.sleep(self._random.uniform(0.0, 0.3))
            if self._random.random() < 0.3:
                await self._acquire(req_id)
            visit.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await visit
        if not left:
            await self._close(req_id)

    async def _queue(self) -> None:
        """A request that waits for ever, changed now and then, and closed when there are many."""
        if len(self._waiting) >= KEPT_WAITING:
            await self._close(self._waiting.pop(self._random.randrange(len(self._waiting))))
            return
        if self._waiting and self._random.random() < 0.6:
            await self._update(self._random.choice(self._waiting))
            return
        req_id = await self._new("nobody", job_timeout=60.0)
        if req_id is not None:
            self._waiting.append(req_id)

    # --- calls
    async def _call(
        self, what: str, sent: dict[str, Any], call: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any] | None:
        number = next(self._numbers)
        told = {"by": self._name, "call": number, "what": what}
        self._log.write(**told, sent=sent)
        try:
            async with asyncio.timeout(LONGEST_S):
                answer = await call()
        except BorutaError as error:
            self._log.write(**told, **sent, error=error.code, text=error.message)
            return None
        except TimeoutError:
            self._log.write(**told, **sent, error="no_answer")
            return None
        self._log.write(**told, **sent, answer=answer)
        return answer

    async def _new(self, arch: str, job_timeout: float) -> int | None:
        note = f"{self._name}-{next(self._numbers)}"
        token = note if self._random.random() < 0.7 else None
        bound = self._random.random() < 0.3
        priority = self._random.randint(1, 16)

        async def call() -> dict[str, Any]:
            found = await self._client.new_request(
                {"arch": arch}, priority, job_timeout=job_timeout, note=note, token=token,
                bound=bound,
            )  # fmt: skip
            return {"id": found}

        sent = {"note": note, "token": token, "priority": priority, "arch": arch}
        answer = await self._call("new", sent, call)
        if token is not None and (answer is None or self._random.random() < 0.2):
            again = await self._call("again", sent, call)
            answer = again or answer
        return None if answer is None else int(answer["id"])

    async def _acquire(self, req_id: int) -> AccessInfo | None:
        found: list[AccessInfo] = []

        async def call() -> dict[str, Any]:
            access = await self._client.acquire_worker(req_id, timeout=PATIENT_S)
            found.append(access)
            return {"key": public_key(access), "port": access.port}

        await self._call("acquire", {"id": req_id}, call)
        return found[0] if found else None

    async def _prolong(self, req_id: int) -> None:
        token = f"{self._name}-{next(self._numbers)}" if self._random.random() < 0.7 else None

        async def call() -> dict[str, Any]:
            found = await self._client.prolong_access(req_id, token=token)
            return {"end": found.timeout.timestamp(), "left": found.prolongs_left}

        await self._call("prolong", {"id": req_id, "token": token}, call)

    async def _update(self, req_id: int) -> None:
        priority = self._random.randint(1, 16)

        async def call() -> dict[str, Any]:
            await self._client.update_request(ReqInfo(id=req_id, priority=priority))
            return {}

        await self._call("update", {"id": req_id, "priority": priority}, call)

    async def _close(self, req_id: int) -> None:
        async def call() -> dict[str, Any]:
            await self._client.close_request(req_id)
            return {}

        await self._call("close", {"id": req_id}, call)

    # --- at the board
    async def _visit(self, req_id: int, access: AccessInfo) -> None:
        """Goes in by the tunnel, again and again, as somebody with an ssh session does."""
        visit = {"key": public_key(access), "request": req_id}
        while True:
            try:
                reader, writer = await asyncio.open_connection(access.host, access.port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            try:
                writer.write(json.dumps(visit).encode() + b"\n")
                answer = json.loads(await reader.readline() or b'{"in": false}')
                self._log.write(by=self._name, what="visit", id=req_id, answer=answer)
                await reader.read()
            except (OSError, ValueError):
                pass
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            await asyncio.sleep(0.1)


def public_key(access: AccessInfo) -> str:
    """The public line of the key that opens the board."""
    key = load_ssh_private_key(access.key.encode(), None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


async def run(place: Path, url: str, server_key: str, count: int, seed: int) -> None:
    """All of them. After SIGTERM they finish what they are at, and stay."""
    stop, log = asyncio.Event(), Log(place / "ledger")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with contextlib.AsyncExitStack() as clients:
        people = []
        for number in range(count):
            name = f"user{number:02}"
            client = await clients.enter_async_context(
                connect(url, server_key=server_key, key=place / f"{name}.key_secret", timeout=30.0)
            )
            people.append(Person(name, client, seed, log, stop))
        print("there", flush=True)
        await asyncio.gather(*(person.run() for person in people))
        # A client that leaves gives its bound requests up; these are to be found as they stood.
        print("done", flush=True)
        await asyncio.Event().wait()

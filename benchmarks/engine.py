"""The whole engine in this process, without sockets: actors, matcher and a store in memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import process_time
from typing import Final

from actors.api import RequestsApi
from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import LoopDispatcher
from actors.system import System
from benchmarks.doubles import FreePorts, ObedientBoard
from boruta.domain.ports import Store
from boruta.domain.types import Caller, Capabilities, ReqID, Role, WorkerState
from boruta.server import GC_THRESHOLDS
from boruta.store.memory import MemoryStore

ADMIN: Final = Caller("admin", Role.ADMIN)
A_CALLER_HAS: Final = 9_000  # live requests of one key; the engine's own limit is 10,000
_LOOK_S: Final = 0.02
_QUIET_S: Final = 0.002  # processor time of an idle loop in `_LOOK_S`
_A_TURN: Final = 100  # requests between two turns of the loop


class Engine:
    """An engine with boards that obey at once, on the running loop."""

    def __init__(self, dispatcher: LoopDispatcher, system: System) -> None:
        self.dispatcher = dispatcher
        self.system = system
        self.front = EngineFront(system)
        self.queued: list[ReqID] = []
        self._apis: list[RequestsApi] = []

    async def boards(self, count: int, first: int = 0) -> None:
        """Registers so many boards more."""
        for number in range(first, first + count):
            caps = {"UUID": f"board-{number:05}", "arch": "bench", "slot": str(number % 10)}
            board = ObedientBoard(self.dispatcher, caps)
            await self.front.superviser(ADMIN).register(board.registration(), board)

    def api(self, number: int) -> RequestsApi:
        """The requests of the caller who queues the request of this number."""
        at = number // A_CALLER_HAS
        while len(self._apis) <= at:
            caller = Caller(f"user-{len(self._apis)}", Role.USER)
            self._apis.append(self.front.requests(caller))
        return self._apis[at]

    async def fill(self, length: int, caps: Callable[[int], Capabilities]) -> None:
        """Queues requests until there are so many, of all priorities, and lets them settle."""
        for number in range(len(self.queued), length):
            made = self.api(number).new_request(caps(number), 1 + number % 16)
            self.queued.append(await made)
            if number % _A_TURN == 0:
                await asyncio.sleep(0)
        await self.settled()

    async def settled(self) -> None:
        """Waits until the loop has nothing more to do."""
        while True:
            before = process_time()
            await asyncio.sleep(_LOOK_S)
            if process_time() - before < _QUIET_S:
                return


@asynccontextmanager
async def engine(boards: int, store: Store | None = None) -> AsyncIterator[Engine]:
    """An engine with so many idle boards, and the garbage collector as the server has it.

    Args:
        boards: how many.
        store: what it writes to; None: nothing.
    """
    dispatcher = LoopDispatcher(asyncio.get_running_loop())
    keys = itertools.count()

    def make_key() -> tuple[str, str]:
        number = next(keys)
        return f"private {number}", f"ssh-ed25519 {number}"

    rules = Rules(initial=WorkerState.IDLE)
    kept = MemoryStore() if store is None else store
    system = System(dispatcher, kept, FreePorts(), make_key, lambda: 0.5, rules, "bench")
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    system.start()
    try:
        found = Engine(dispatcher, system)
        await found.boards(boards)
        await found.settled()
        yield found
    finally:
        system.stop()
        gc.set_threshold(*before)

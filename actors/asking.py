"""How the outer facade asks actors, and what it makes of one that stopped or failed."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import pykka

from actors.base import ActorGone
from actors.runtime import Future
from actors.system import System
from boruta.domain.errors import NotFoundError, ShuttingDown
from boruta.domain.slices import Sliced
from boruta.domain.types import Caller, ReqID, WorkerUUID

T = TypeVar("T")
SLICE_S: Final = 0.002  # of one list in one turn; then come others, the sockets too


class Asking:
    """What the ports of one caller share."""

    def __init__(self, system: System, caller: Caller) -> None:
        self._system = system
        self._directory = system.directory
        self._caller = caller

    async def _ask(self, ref: pykka.ActorRef[Any] | None, message: object, missing: str) -> Any:
        """The answer to `message`.

        Raises:
            NotFoundError: there is no such actor.
            ActorGone: it stopped before it answered.
            ShuttingDown: all of them stop.
        """
        if self._system.closing:
            raise ShuttingDown("the server is stopping", retry_after_s=2.0)
        if ref is None:
            raise NotFoundError(missing)
        try:
            return await ref.ask(message, block=False)
        except (ActorGone, pykka.ActorDeadError):
            if self._system.closing:
                raise ShuttingDown("the server is stopping", retry_after_s=2.0) from None
            raise ActorGone(missing) from None

    def _check_store(self) -> None:
        self._directory.check_store()

    async def _written(self, key: ReqID | WorkerUUID) -> None:
        """Waits until all that is known of this request or board outlives a crash.

        Raises:
            StoreUnavailable: it is done, but may be lost by a crash before the store is well.
        """
        written = self._directory.journal.written(key)
        if written is not None:
            await written

    async def _settled(self, key: ReqID | WorkerUUID | None = None) -> None:
        """Waits until what is about to be shown, of `key` or of anything, outlives a crash.

        Not for a store that is unwell: what runs goes on meanwhile, and is shown as it is.
        """
        settled = self._directory.journal.settled(key)
        if settled is not None:
            await settled

    async def _ask_matcher(self, message: object) -> Any:
        return await self._ask(self._directory.matcher, message, "the matcher is not there")

    async def _in_slices(self, work: Sliced[T]) -> T:
        """Does the work in slices, with a turn of the loop after each of `SLICE_S`."""
        now = self._directory.dispatcher.now
        until = now() + SLICE_S
        try:
            while True:
                next(work)
                if now() >= until:
                    await self._next_turn()
                    until = now() + SLICE_S
        except StopIteration as done:
            result: T = done.value
            return result

    async def _next_turn(self) -> None:
        turn = Future(self._directory.dispatcher)
        self._directory.dispatcher.call_soon(lambda: turn.answer(None))
        await turn

"""What the server says to a client unasked: calls to a worker, and notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from boruta.domain.errors import BorutaError, Busy, InternalLogicError, UnknownType
from transport.codec import Call, Notice
from transport.lifeline import Lifeline
from transport.wire import NOTICES, PING, CallType

log = logging.getLogger("boruta.link")
_AT_ONCE: Final = 64  # calls of the server that are being carried out; one more is `busy`


class Answering:
    """Answers calls and passes notices on.

    Args:
        on_call: carries a checked call out; its reply body.
        on_notice: takes a checked notice.
        types: the calls that there are.
    """

    def __init__(
        self,
        on_call: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]] | None,
        on_notice: Callable[[str, dict[str, Any]], None] | None,
        types: Mapping[str, CallType],
    ) -> None:
        self._on_call = on_call
        self._on_notice = on_notice
        self._types = types
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, line: Lifeline, message: Call | Notice) -> None:
        """A message has come."""
        if isinstance(message, Notice):
            self._notice(line, message)
            return
        try:
            if message.type == "ping":
                PING.body(message.body, "body")
                line.send(line.conversation.reply(message.id, {}))
                return
            known = self._types.get(message.type)
            if known is None or self._on_call is None:
                raise UnknownType(
                    f"{message.type!r:.80}: there is no such call", type=message.type[:80]
                )
            body = known.body(message.body, "body")
            if len(self._tasks) >= _AT_ONCE:
                raise Busy(f"{_AT_ONCE} calls are being carried out already")
        except BorutaError as error:
            line.send(line.conversation.reply(message.id, error))
            return
        task = asyncio.get_running_loop().create_task(
            self._carry_out(line, message, body, self._on_call)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(
        self,
        line: Lifeline,
        call: Call,
        body: dict[str, Any],
        on_call: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]],
    ) -> None:
        outcome: dict[str, Any] | BorutaError
        try:
            outcome = await on_call(call.type, body)
        except BorutaError as error:
            outcome = error
        except Exception as defect:
            log.exception("call_failed type=%s", call.type)
            outcome = InternalLogicError(f"{call.type} failed: {type(defect).__name__}: {defect}")
        line.send(line.conversation.reply(call.id, outcome))

    def _notice(self, line: Lifeline, notice: Notice) -> None:
        check = NOTICES.get(notice.type)
        if check is None:
            line.conversation.unknown_notices += 1
            return
        if notice.type == "heartbeat":
            return
        try:
            body = check(notice.body, "body")
        except BorutaError as error:
            line.conversation.count_bad(error)
            return
        if self._on_notice is not None:
            try:
                self._on_notice(notice.type, body)
            except Exception:
                log.exception("notice_failed type=%s", notice.type)

    async def close(self) -> None:
        """Ends what is being carried out."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

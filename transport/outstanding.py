"""Calls that wait for their answer, over as many connections as that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from boruta.domain.errors import (
    ActionRefused,
    BorutaError,
    Busy,
    InternalLogicError,
    Unreachable,
    UsageError,
)
from transport.checker import Check
from transport.lifeline import Lifeline

# Calls of one link that wait; a program that asks for more is told `busy`.
MOST: Final = 10_000
_CLOSED: Final = frozenset({"closed", "cancelled"})


@dataclass(eq=False, slots=True)
class Pending:
    """One call: what it says, who waits, how often it was sent."""

    kind: str
    body: dict[str, Any]
    check: Check
    again: bool
    until: float | None
    answer: asyncio.Future[dict[str, Any]]
    on_reply: Callable[[dict[str, Any]], None] | None = None
    sent: int = 0
    over: Lifeline | None = None
    number: int = 0

    def settle(self, outcome: dict[str, Any] | BorutaError) -> None:
        """The answer has come."""
        if self.answer.done():
            return
        if isinstance(outcome, BorutaError):
            if self._own_effect(outcome):
                self.answer.set_result({})
            else:
                self.answer.set_exception(outcome)
            return
        try:
            reply = self.check(outcome, f"the reply to {self.kind}")
        except UsageError as error:
            self.answer.set_exception(
                InternalLogicError(f"the server's answer is not understood: {error}")
            )
            return
        self.answer.set_result(reply)
        if self.on_reply is not None:
            self.on_reply(reply)

    def _own_effect(self, error: BorutaError) -> bool:
        # A server that was restarted meanwhile cannot know that the close was ours.
        return (
            self.kind == "requests.close"
            and self.sent > 1
            and isinstance(error, ActionRefused)
            and error.details.get("reason_code") in _CLOSED
        )


class Outstanding:
    """The calls of one link, in the order in which they were made."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: dict[Pending, None] = {}

    def add(self, pending: Pending) -> None:
        """One more.

        Raises:
            Busy: that is one too many.
        """
        if len(self._all) >= MOST:
            raise Busy(f"{MOST} calls of this client wait for an answer already")
        self._all[pending] = None

    def remove(self, pending: Pending) -> None:
        """Nobody waits for it any more."""
        self._all.pop(pending, None)
        if pending.over is not None:
            pending.over.conversation.forget(pending.number)

    def send(self, pending: Pending, line: Lifeline) -> None:
        """Sends it over this connection."""
        body = pending.body
        if pending.sent and pending.until is not None and "timeout_s" in body:
            body = {**body, "timeout_s": max(0.0, pending.until - self._clock())}
        pending.sent += 1
        pending.over = line
        try:
            pending.number = line.call(pending.kind, body, pending.settle)
        except BorutaError as error:
            pending.settle(error)

    def send_all(self, line: Lifeline) -> None:
        """Sends what waits for a connection."""
        for pending in list(self._all):
            if pending.over is None and not pending.answer.done():
                self.send(pending, line)

    def lost(self, line: Lifeline) -> None:
        """A connection is over: what may be is sent again over the next, the rest has failed."""
        for pending in list(self._all):
            if pending.over is not line:
                continue
            pending.over = None
            if not pending.again:
                pending.settle(
                    Unreachable(
                        f"{pending.kind}: the connection was lost before the answer came; whether "
                        "it had its effect is unknown",
                        outcome="unknown",
                    )
                )

    def fail_all(self, error: BorutaError) -> None:
        """None of them gets an answer."""
        for pending in list(self._all):
            pending.settle(type(error)(error.message, **error.details))

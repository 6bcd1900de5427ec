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
    ShuttingDown,
    Unreachable,
    UsageError,
)
from transport.checker import Check
from transport.lifeline import Lifeline

# Calls of one link that wait; a program that asks for more is told `busy`.
MOST: Final = 10_000
# So many are unanswered at once over one connection; the server allows 256.
AT_ONCE: Final = 240
_CLOSED: Final = frozenset({"closed", "cancelled"})


@dataclass(eq=False, slots=True)
class Pending:
    """One call: what it says, who waits, how often it was sent."""

    kind: str
    body: dict[str, Any]
    check: Check
    again: bool
    made_at: float
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
    """The calls of one link, in the order in which they were made.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: dict[Pending, None] = {}
        self._waiting: dict[Pending, None] = {}  # not sent, or to be sent again
        self._in_flight = 0
        self._line: Lifeline | None = None  # over which they go out

    def add(self, pending: Pending) -> None:
        """One more; it is sent when there is a connection.

        Raises:
            Busy: that is one too many.
        """
        if len(self._all) >= MOST:
            raise Busy(f"{MOST} calls of this client wait for an answer already")
        self._all[pending] = None
        self._waiting[pending] = None
        self._send_waiting()

    def add_over(self, pending: Pending, line: Lifeline) -> None:
        """One more, for this connection alone, which may not be open to the others yet.

        Raises:
            Busy: that is one too many.
        """
        if len(self._all) >= MOST:
            raise Busy(f"{MOST} calls of this client wait for an answer already")
        pending.again = False
        self._all[pending] = None
        self._send(pending, line)

    def remove(self, pending: Pending) -> None:
        """Nobody waits for it any more."""
        self._all.pop(pending, None)
        self._waiting.pop(pending, None)
        if pending.over is not None:
            pending.over.conversation.forget(pending.number)
            self._returned(pending)
            self._send_waiting()

    def opened(self, line: Lifeline) -> None:
        """A connection takes calls: what waits goes out over it."""
        self._line = line
        self._send_waiting()

    def stopped(self, line: Lifeline) -> None:
        """A connection takes no more calls; what it was asked may still be answered."""
        if self._line is line:
            self._line = None

    def lost(self, line: Lifeline) -> None:
        """A connection is over: what may be is sent again over the next, the rest has failed."""
        self.stopped(line)
        left = [pending for pending in self._all if pending.over is line]
        for pending in left:
            self._returned(pending)
            if not pending.again:
                pending.settle(
                    Unreachable(
                        f"{pending.kind}: the connection was lost before the answer came; whether "
                        "it had its effect is unknown",
                        outcome="unknown",
                    )
                )
        # In front of those that were never sent: the order in which they were made.
        again = {pending: None for pending in left if pending.again}
        self._waiting = {**again, **self._waiting}

    def fail_all(self, error: BorutaError) -> None:
        """None of them gets an answer."""
        for pending in list(self._all):
            pending.settle(type(error)(error.message, **error.details))

    def _send_waiting(self) -> None:
        while self._line is not None and self._waiting and self._in_flight < AT_ONCE:
            pending = next(iter(self._waiting))
            del self._waiting[pending]
            if not pending.answer.done():
                self._send(pending, self._line)

    def _send(self, pending: Pending, line: Lifeline) -> None:
        body = pending.body
        if "timeout_s" in body:
            left = body["timeout_s"] - (self._clock() - pending.made_at)
            body = {**body, "timeout_s": max(0.0, left)}
        pending.sent += 1
        pending.over = line
        self._in_flight += 1
        try:
            pending.number = line.call(
                pending.kind, body, lambda outcome: self._answered(pending, line, outcome)
            )
        except BorutaError as error:
            self._returned(pending)
            pending.settle(error)

    def _answered(
        self, pending: Pending, line: Lifeline, outcome: dict[str, Any] | BorutaError
    ) -> None:
        if line.leaving and pending.again and isinstance(outcome, ShuttingDown):
            return  # the next connection has the answer
        self._returned(pending)
        pending.settle(outcome)
        self._send_waiting()

    def _returned(self, pending: Pending) -> None:
        if pending.over is not None:
            pending.over = None
            self._in_flight -= 1

"""What the actors of the engine share: who they are, how they commit, what happens if they fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, Generic, TypeVar

from actors.directory import Directory
from actors.messages import Once, Question
from actors.runtime import Future, LoopActor
from boruta.domain.errors import BorutaError, InternalLogicError, NotFoundError
from boruta.domain.rows import Conflict, Transaction
from boruta.domain.types import ReqID, WorkerUUID

M = TypeVar("M")
log = logging.getLogger("boruta.actors")


class Restarted(InternalLogicError):
    """The actor failed before it answered and is started anew; ask again."""


class ActorGone(NotFoundError):
    """The actor stopped before it answered."""


class FarmActor(LoopActor, Generic[M]):
    """A thin shell round one of domain's lives.

    Subclasses write `on_message`. A `Question` is answered through the reply that comes with it:
    by `answer`, or with the BorutaError that `on_message` raised.
    """

    kind: ClassVar[str] = ""
    answers_itself = True

    def __init__(self, directory: Directory, key: ReqID | WorkerUUID) -> None:
        super().__init__()
        self.directory = directory
        self.key = key
        self._broken: BaseException | None = None
        self._handling: object = None

    def begin(self) -> None:
        """What it does first of all."""

    def on_start(self) -> None:
        """Begins; one that cannot is reported as failed (Pykka calls no hook for that)."""
        try:
            self.begin()
        except BaseException as error:
            self.on_failure(type(error), error, error.__traceback__)
            raise

    def on_message(self, message: M, reply: Future | None) -> object:
        """Handles one message; what it returns is what `ask` gets if it is no `Question`."""
        raise NotImplementedError

    def on_receive(self, message: M) -> object:
        """Hands on a message that was told; of our own errors only a line is left."""
        if self._broken is not None:
            raise self._broken
        self._handling = message
        reply = None
        if isinstance(message, Question):  # nobody hears the answer
            reply = Future(self.directory.dispatcher)
            self.actor_inbox.take_on(reply)
        try:
            return self.on_message(message, reply)
        except BaseException as error:
            if self._breaks(error):
                raise
            what = type(message).__name__
            log.warning("refused %s=%s message=%s: %s", self.kind, self.key, what, error)
            return None

    def on_asked(self, message: M, reply: Future) -> None:
        """Hands on a message that was asked; our own errors are its answers."""
        if self._broken is not None:
            raise self._broken
        self._handling = message
        question = isinstance(message, Question)
        if question:
            self.actor_inbox.take_on(reply)
        try:
            result = self.on_message(message, reply if question else None)
        except BaseException as error:
            if self._breaks(error):
                self._handling = None  # who asked has the error, and may ask again
                raise
            reply.answer_error(error)
        else:
            if not question:
                reply.answer(result)

    def _breaks(self, error: BaseException) -> bool:
        """Whether it is more than a refusal; then the actor is started anew."""
        if isinstance(error, BorutaError) and not isinstance(error, InternalLogicError):
            return False
        # Of an asked actor Pykka lets live what has just failed. Its memory may be half changed, so
        # it must go down and start anew from the store: any further message makes it do so.
        self._broken = error
        self.actor_ref.tell(None)
        return True

    def commit(self, transaction: Transaction, then: Callable[[Conflict | None], None]) -> None:
        """Commits; `then` hears the outcome on this actor's turn.

        In the history it stands as done by whoever sent the message that is being handled.
        """
        by = getattr(self._handling, "by", None)
        self.directory.journal.submit(transaction, then, "" if by is None else by.name)

    def on_stop(self) -> None:
        """Whoever still waits for an answer is told."""
        self.close_questions(ActorGone, f"{self.kind} {self.key} is gone")

    def close_questions(self, error: type[BorutaError], text: str) -> None:
        """Answers whoever still waits."""
        inbox = self.actor_inbox
        waiting, inbox.asked = inbox.asked, None
        for reply in waiting or ():
            if not reply.done:
                fail(reply, error(text))

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tells the system, which starts the actor anew from the store."""
        self.close_questions(Restarted, f"the {self.kind} {self.key} failed: {exception_value!r}")
        if self.directory.failed is not None and exception_value is not None:
            self.directory.left[self.key] = self._left_over()
            self.directory.failed(self.kind, self.key, exception_value)

    def _left_over(self) -> list[Once]:
        """What its successor must hear: it failed at it, or it waits."""
        queue = self.actor_inbox.queue or ()
        told = [one for one, reply in zip(*[iter(queue)] * 2, strict=True) if reply is None]
        return [one for one in (self._handling, *told) if isinstance(one, Once)]


def answer(reply: Future | None, value: object = None) -> None:
    """Answers, unless whoever asked does not wait any more."""
    if reply is not None:
        reply.answer(value)


def fail(reply: Future | None, error: BaseException) -> None:
    """Answers with an error, unless whoever asked does not wait any more."""
    if reply is not None:
        reply.answer_error(error)

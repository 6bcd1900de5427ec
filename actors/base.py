"""What the actors of the engine share: who they are, how they commit, what happens if they fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

import pykka

from actors.directory import Directory
from actors.runtime import Future, LoopActor
from boruta.domain.errors import BorutaError
from boruta.domain.rows import Conflict, Transaction
from boruta.domain.types import ReqID, WorkerUUID

M = TypeVar("M")
log = logging.getLogger("boruta.actors")


class FarmActor(LoopActor, Generic[M]):
    """A thin shell round one of domain's lives.

    Subclasses write `on_message`. A message with a `reply` attribute is answered through it:
    by `answer`, or with the BorutaError that `on_message` raised.
    """

    kind: ClassVar[str] = ""

    def __init__(self, directory: Directory, key: ReqID | WorkerUUID) -> None:
        super().__init__()
        self.directory = directory
        self.key = key

    def on_message(self, message: M, reply: pykka.Future[Any] | None) -> object:
        """Handles one message; what it returns is what `ask` gets if there is no `reply`."""
        raise NotImplementedError

    def on_receive(self, message: M) -> object:
        """Hands the message on; turns our own errors into answers."""
        if not hasattr(message, "reply"):
            return self.on_message(message, None)
        reply = message.reply
        handed_back = reply is None
        if reply is None:
            reply = Future()
        try:
            self.on_message(message, reply)
        except BorutaError as error:
            fail(reply, error)
        except BaseException as error:
            fail(reply, error)
            raise
        return reply if handed_back else None

    def commit(self, transaction: Transaction, then: Callable[[Conflict | None], None]) -> None:
        """Commits; `then` hears the outcome on this actor's turn."""
        self.directory.journal.submit(transaction, then)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tells the system, which starts the actor anew from the store."""
        if self.directory.failed is not None and exception_value is not None:
            self.directory.failed(self.kind, self.key, exception_value)


def answer(reply: pykka.Future[Any] | None, value: object = None) -> None:
    """Answers, unless whoever asked does not wait any more."""
    if reply is not None:
        try:
            reply.set(value)
        except Exception:
            log.debug("an answer came after its asker had left")


def fail(reply: pykka.Future[Any] | None, error: BaseException) -> None:
    """Answers with an error, unless whoever asked does not wait any more."""
    if reply is not None:
        try:
            reply.set_exception((type(error), error, error.__traceback__))
        except Exception:
            log.debug("an error came after its asker had left")

"""The handle of an actor."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pykka

from actors.runtime.current import refuse_blocking
from actors.runtime.future import Future
from actors.runtime.mailbox import Mailbox

if TYPE_CHECKING:
    from actors.runtime.actor import LoopActor

A = TypeVar("A", bound="LoopActor")


class ForeignStop(pykka.messages._ActorStop):
    """A stop that was not asked for on the dispatcher's own thread."""


class LoopRef(pykka.ActorRef[A]):
    """A `pykka.ActorRef` that refuses to block its own dispatcher before anything is sent."""

    actor_inbox: Mailbox

    def __init__(self, actor: A) -> None:
        # pykka.ActorRef.__init__ is left out: its weak reference costs 72 bytes an actor.
        self.actor_class = actor.__class__
        self.actor_inbox = actor.actor_inbox

    if not TYPE_CHECKING:  # attributes in Pykka; `_actor` is what ActorProxy reads up to 4.4.1

        @property
        def actor_urn(self) -> str:
            return self.actor_inbox.urn

        @property
        def actor_stopped(self) -> threading.Event:
            return self.actor_inbox.flag

        @property
        def _actor(self) -> LoopActor | None:
            return self.actor_inbox.actor

        def _actor_weakref(self) -> LoopActor | None:
            return self.actor_inbox.actor

    def is_alive(self) -> bool:
        """Whether the actor has not stopped."""
        return not self.actor_inbox.stopped

    def tell(self, message: Any) -> None:
        """Sends a message without waiting for an answer.

        Raises:
            ActorDeadError: the actor has stopped.
        """
        mailbox = self.actor_inbox
        if mailbox.stopped:
            raise pykka.ActorDeadError(f"{self} not found")
        dispatcher = mailbox.dispatcher
        if dispatcher is None:
            mailbox.send(message, None)
        else:
            dispatcher.deliver(mailbox, message, None)

    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = None
    ) -> Future: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True], timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Sends a message; its answer, or a future of it.

        Args:
            message: anything.
            block: whether to wait; the default of Pykka, refused on a dispatcher's thread.
            timeout: seconds to wait.

        Raises:
            WouldBlock: it would wait on a dispatcher's own thread; nothing was sent.
            pykka.Timeout: there was no answer in time.
        """
        future = self._send(message, block, "ask()")
        return future.get(timeout=timeout) if block else future

    def _send(self, message: Any, block: bool, verb: str) -> Future:
        mailbox = self.actor_inbox
        if block:
            refuse_blocking(f"{verb} of {self}")
        future = Future(mailbox.dispatcher)
        future.asked = True
        if mailbox.stopped:
            future.answer_error(pykka.ActorDeadError(f"{self} not found"))
        else:
            try:
                if mailbox.dispatcher is None:
                    mailbox.send(message, future)
                else:
                    mailbox.dispatcher.deliver(mailbox, message, future)
            except pykka.ActorDeadError as error:  # its loop is closed
                future.answer_error(error)
        return future

    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> Future: ...

    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Asks the actor to stop after what it got before.

        Returns:
            Whether it was alive, or a future of that.

        Raises:
            WouldBlock: it would wait on a dispatcher's own thread; nothing was sent.
        """
        dispatcher = self.actor_inbox.dispatcher
        # Pykka's stop_all is called by any thread of the host, even by code on our loop.
        foreign = sys._getframe(1).f_globals.get("__name__") == "pykka._registry" or (
            dispatcher is not None and not dispatcher.is_current
        )
        message = ForeignStop() if foreign else pykka.messages._ActorStop()
        stopped = self._send(message, block, "stop()").stopped()
        return stopped.get(timeout=timeout) if block else stopped

"""One actor's share of a turn: its next messages, and whatever they raise."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pykka

from actors.runtime.clocks import stopwatch
from actors.runtime.deferred import Deferred
from actors.runtime.future import Future
from actors.runtime.mailbox import IDLE, START, Mailbox, answer, answer_error
from actors.runtime.ref import ForeignStop

if TYPE_CHECKING:
    from actors.runtime.actor import LoopActor
    from actors.runtime.dispatcher import Dispatcher

log = logging.getLogger("pykka")


def take(dispatcher: Dispatcher, mailbox: Mailbox, most: int, until: float, began: float) -> int:
    """Handles up to `most` messages; nothing that a handler raises comes out of here.

    Args:
        dispatcher: whose turn it is.
        mailbox: of the actor; it has messages.
        most: how many messages.
        until: when to leave off, on the stopwatch in seconds.
        began: now, on the stopwatch.

    Returns:
        How many were handled. The mailbox is IDLE, CLOSED, or still READY.
    """
    actor, queue = mailbox.actor, mailbox.queue
    assert actor is not None
    assert queue is not None
    dispatcher.running = mailbox
    watchdog = dispatcher.watchdog
    limit = watchdog.limit_s
    on_receive = actor.on_receive
    pop = queue.popleft
    handled = 0
    while True:
        message = pop()
        reply = pop()
        handled += 1
        try:
            # All messages of Pykka's own are tuples, so one test sorts out most others.
            if isinstance(message, tuple):
                _special(actor, message, reply)
            elif reply is None:
                on_receive(message)
            else:
                _asked(actor, message, reply)
        except BaseException as error:
            _fail(actor, message, reply, error)
        now = stopwatch()
        if now - began > limit:
            watchdog.report(type(actor).__name__, _name(message), now - began)
        if mailbox.stopped:
            mailbox.close(actor._actor_ref)
            return handled
        if not queue:
            mailbox.queue = None
            mailbox.state = IDLE
            return handled
        if handled >= most or now >= until:
            return handled
        began = now


def _asked(actor: LoopActor, message: Any, reply: pykka.Future[Any]) -> None:
    """Handles a message whose sender waits for an answer."""
    if isinstance(reply, Future):
        if reply.cancelled:
            return
        if actor.answers_itself:
            actor.on_asked(message, reply)
            return
    result = actor.on_receive(message)
    if isinstance(result, Deferred):
        actor.actor_inbox.owe(reply, result.future)
    else:
        answer(reply, result)


def _special(actor: LoopActor, message: Any, reply: pykka.Future[Any] | None) -> None:
    """Handles a message of Pykka's own kinds, or another tuple."""
    if message is START:
        try:
            actor.on_start()
        except BaseException as error:
            actor._handle_failure(type(error), error, error.__traceback__)
        return
    if (
        isinstance(reply, Future)
        and reply.cancelled
        and not isinstance(message, pykka.messages._ActorStop)
    ):
        return
    result = actor._handle_receive(message)
    if isinstance(message, ForeignStop):
        _tell_of_foreign_stop(actor)
    if reply is not None:
        if isinstance(result, Deferred):
            actor.actor_inbox.owe(reply, result.future)
        else:
            answer(reply, result)


def _fail(
    actor: LoopActor, message: Any, reply: pykka.Future[Any] | None, error: BaseException
) -> None:
    """As Pykka documents, but what is not an Exception stops this actor and no other.

    Such an actor's on_stop is called, as in Pykka, and then on_failure: its owner hears of it.
    """
    try:
        if reply is not None:
            answer_error(reply, error)
            if isinstance(error, Exception):
                log.info("Exception returned from %s to caller:", actor, exc_info=error)
                return
        if isinstance(error, Exception):
            actor._handle_failure(type(error), error, error.__traceback__)
        else:
            # Pykka's line, word for word: its suite looks for it. Its stop_all is left out.
            log.debug(f"{error!r} in {actor}. Stopping all actors.")
            actor._stop()
            log.error("%r stopped %s, and no other actor", error, actor, exc_info=error)
        try:
            actor.on_failure(type(error), error, error.__traceback__)
        except BaseException as second:
            actor._handle_failure(type(second), second, second.__traceback__)
    except BaseException:  # for example a __str__ that raises while the failure is logged
        log.exception("a failure could not be handled")
        actor._leave()


def _tell_of_foreign_stop(actor: LoopActor) -> None:
    dispatcher = actor.actor_inbox.dispatcher
    if dispatcher is not None and dispatcher.stopped_from_outside is not None:
        try:
            dispatcher.stopped_from_outside(actor._actor_ref)
        except BaseException:
            log.exception("stopped_from_outside failed")


def _name(message: Any) -> str:
    if isinstance(message, pykka.messages.ProxyCall):
        return ".".join(message.attr_path)
    return type(message).__name__

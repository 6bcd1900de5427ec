"""The actor type."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pykka

from actors.runtime.current import current
from actors.runtime.future import Future
from actors.runtime.mailbox import Mailbox
from actors.runtime.ref import LoopRef
from actors.runtime.registry import leave_pykka

if TYPE_CHECKING:
    from typing import Self

    from actors.runtime.dispatcher import Dispatcher

log = logging.getLogger("pykka")  # the lines that Pykka documents come from its logger

A = TypeVar("A", bound="LoopActor")


class LoopActor(pykka.Actor):
    """A Pykka actor that shares its dispatcher's thread with all others.

    It behaves as `pykka.ThreadingActor` does, but for three things: it must not block; whatever
    it raises, SystemExit too, fails this actor alone; whoever asked always gets an answer.

    Attributes:
        use_pykka_registry: whether it stands in `pykka.ActorRegistry`, whose cost grows with the
            number of actors; all stand in the registry of their dispatcher.
        answers_itself: whether what is asked comes to `on_asked`, and not to `on_receive`.
        actor_dispatcher: where `start()` starts it; default: the dispatcher whose turn is running.
    """

    use_pykka_registry: ClassVar[bool] = True
    answers_itself: ClassVar[bool] = False
    actor_dispatcher: ClassVar[Dispatcher | None] = None

    actor_inbox: Mailbox

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # pykka.Actor.__init__ is left out: its event, UUID and queue cost ten times as much.
        self.actor_inbox = mailbox = Mailbox(current.dispatcher)
        mailbox.actor = self
        self._actor_ref = LoopRef(self)

    if not TYPE_CHECKING:  # attributes in Pykka; they stand in the mailbox, which the ref has too

        @property
        def actor_urn(self) -> str:
            return self.actor_inbox.urn

        @actor_urn.setter
        def actor_urn(self, urn: str) -> None:
            pass  # the one that pykka.Actor.__init__ makes

        @property
        def actor_stopped(self) -> threading.Event:
            return self.actor_inbox.flag

        @actor_stopped.setter
        def actor_stopped(self, event: threading.Event) -> None:
            pass  # likewise

    @classmethod
    def bound(cls, dispatcher: Dispatcher) -> type[Self]:
        """A subclass of the same name whose `start()` uses this dispatcher."""
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        return type(cls.__name__, (cls,), {**names, "actor_dispatcher": dispatcher})

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Starts an actor, as Pykka's classmethod; `Dispatcher.start` says where explicitly.

        Raises:
            RuntimeError: neither the class nor a running turn says on which dispatcher.
        """
        dispatcher = cls.actor_dispatcher or current.dispatcher
        if dispatcher is None:
            raise RuntimeError(
                f"{cls.__name__}.start() does not know its dispatcher: use "
                f"dispatcher.start({cls.__name__}, ...) or {cls.__name__}.bound(dispatcher)"
            )
        return dispatcher.start(cls, *args, **kwargs)

    # --- Pykka's hooks for actor types
    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox(current.dispatcher)

    @staticmethod
    def _create_future() -> Future:
        return Future()

    def _start_actor_loop(self) -> None:
        mailbox = self.actor_inbox
        assert mailbox.dispatcher is not None
        mailbox.dispatcher.begin(mailbox)

    def on_asked(self, message: Any, reply: Future) -> None:
        """Handles a message that was asked and answers by `reply`, now or later.

        One that is answered later is given to `actor_inbox.take_on`. It is for classes that set
        `answers_itself`: a `Deferred` of another future costs as much as many a message.
        """
        raise NotImplementedError

    # --- life
    def _begin(self, dispatcher: Dispatcher) -> LoopRef[Any]:
        """Registers the actor and starts it; any thread."""
        ref = self.actor_ref
        assert ref is not None, (
            "Actor.__init__() have not been called. "
            "Did you forget to call super() in your override?"
        )
        mailbox = self.actor_inbox
        mailbox.dispatcher = dispatcher
        mailbox.actor = self
        if not isinstance(ref, LoopRef):  # a subclass called pykka.Actor.__init__ directly
            self._actor_ref = ref = LoopRef(self)
        dispatcher.registry.add(self)
        if self.use_pykka_registry and dispatcher.in_pykka:
            pykka.ActorRegistry.register(ref)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("Starting %s", self)
        try:
            if dispatcher.closed:
                dispatcher.check_open(self)
            self._start_actor_loop()
        except BaseException:
            self._leave()
            raise
        return ref

    def _leave(self) -> None:
        """Stands in no registry any more and is not alive any more."""
        dispatcher = self.actor_inbox.dispatcher
        if dispatcher is not None:
            dispatcher.registry.discard(self)
            if self.use_pykka_registry and dispatcher.in_pykka:
                leave_pykka(self.actor_ref)
        self.actor_inbox.stop()

    def _stop(self) -> None:
        self._leave()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("Stopped %s", self)
        try:
            self.on_stop()
        except BaseException as error:
            self._handle_failure(type(error), error, error.__traceback__)

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        log.error(
            "Unhandled exception in %s:",
            self,
            exc_info=exception_value,
        )

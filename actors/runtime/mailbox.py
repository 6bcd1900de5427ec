"""What was sent to one actor and is not handled yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pykka

from actors.runtime.flag import Flag
from actors.runtime.future import Future, settling
from actors.runtime.urns import UrnSource

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from actors.runtime.actor import LoopActor
    from actors.runtime.dispatcher import Dispatcher

NEW, IDLE, READY, CLOSED = range(4)
ASKED_CHECKED = 16  # so many unanswered replies before the answered ones are dropped from the list
_urns = UrnSource()  # of actors that are made before they have a dispatcher


class Start(NamedTuple):
    """The first message of each actor."""


START: Final = Start()


class Mailbox:
    """The messages of one actor, in the order of arrival; and what little else its ref must know.

    It belongs to the dispatcher's thread; `put` may come from any. The deque exists only while
    something is in it: an empty one has 760 bytes. A closed mailbox refuses: it answers.

    The queue is flat: message, reply, message, reply. A tuple for each would be an object that the
    garbage collector visits again and again while it waits, which doubled the cost of a backlog.
    `deque.extend` with a tuple is one step for other threads, as `append` is.

    Attributes:
        state: NEW until the actor has started, READY while it waits for its turn, else IDLE;
            CLOSED when it has stopped.
        stopped: the actor handles nothing more.
        asked: replies that an actor which answers by itself has taken, some of them answered.
        owed: answers that the actor promised with `Deferred`.
    """

    __slots__ = (
        "_flag",
        "_urn",
        "actor",
        "asked",
        "dispatcher",
        "owed",
        "queue",
        "state",
        "stopped",
    )

    def __init__(self, dispatcher: Dispatcher | None) -> None:
        self.dispatcher = dispatcher
        self.actor: LoopActor | None = None
        self.queue: deque[Any] | None = None
        self.state = NEW
        self.stopped = False
        self.asked: list[Future] | None = None
        self.owed: dict[int, pykka.Future[Any]] | None = None
        self._flag: StoppedFlag | None = None
        self._urn: str | None = None

    # --- what hardly anybody asks for is made when somebody does
    @property
    def urn(self) -> str:
        """The name of the actor."""
        urn = self._urn
        if urn is None:
            urns = _urns if self.dispatcher is None else self.dispatcher.urns
            urn = self._urn = urns()
        return urn

    @property
    def flag(self) -> StoppedFlag:
        """What others wait for until the actor has stopped."""
        with settling:  # `stop` may come from another thread
            flag = self._flag
            if flag is None:
                flag = self._flag = StoppedFlag(self)
        return flag

    def stop(self) -> None:
        """The actor handles nothing more; whoever waits for that is woken."""
        with settling:
            self.stopped = True
            flag = self._flag
        if flag is not None:
            Flag.set(flag)

    # --- Pykka's protocol of an inbox
    def put(self, envelope: Envelope[Any], /) -> None:
        """Takes a message, from any thread."""
        self.send(envelope.message, envelope.reply_to)

    def get(self) -> Envelope[Any]:
        """The next message; for whoever looks in from outside, since the dispatcher does not.

        Raises:
            IndexError: there is none.
        """
        from pykka._envelope import Envelope

        if not self.queue:
            raise IndexError("the mailbox is empty")
        message, reply = self.queue.popleft(), self.queue.popleft()
        return Envelope(message, reply_to=reply)

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.queue

    # --- ours
    def send(self, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Takes a message, from any thread."""
        if self.dispatcher is None:  # not started: kept until it is
            self.keep(message, reply)
        else:
            self.dispatcher.deliver(self, message, reply)

    def keep(self, message: Any, reply: pykka.Future[Any] | None) -> None:
        """Puts a message at the end; on the dispatcher's thread, or before the start."""
        if self.queue is None:
            self.queue = deque()
        self.queue.extend((message, reply))

    def take_on(self, reply: Future) -> None:
        """The actor answers this one itself, in its own time."""
        if self.asked is None:
            self.asked = []
        elif len(self.asked) >= ASKED_CHECKED:
            self.asked = [one for one in self.asked if not one.done]
        self.asked.append(reply)

    def owe(self, reply: pykka.Future[Any], promised: pykka.Future[Any]) -> None:
        """The answer of `promised` goes to `reply`, or ActorDeadError if the actor stops before."""
        if isinstance(promised, Future):
            future = promised
        else:
            future = Future(self.dispatcher)
            future.set_get_hook(lambda timeout: promised.get(timeout=timeout))
        if not future.asked:
            if self.owed is None:
                self.owed = {}
            self.owed[id(reply)] = reply

        def pay(done: Future) -> None:
            if self.owed is not None:
                self.owed.pop(id(reply), None)
            pass_on(done, reply)

        future.when_done(pay)

    def close(self, name: object) -> None:
        """Refuses everything from now on and answers whoever still waits.

        Args:
            name: of the actor, as the errors show it.
        """
        self.state = CLOSED
        left, self.queue = self.queue, None
        while left:
            message, reply = left.popleft(), left.popleft()
            refuse(message, reply, name)
        owed, self.owed = self.owed, None
        asked, self.asked = self.asked, None
        for reply in (*(owed or {}).values(), *(asked or ())):
            refuse(None, reply, name)
        self.actor = None


class StoppedFlag(Flag):
    """The `actor_stopped` of an actor."""

    __slots__ = ("_mailbox",)

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(mailbox.dispatcher)
        self._mailbox = mailbox
        self._flag = mailbox.stopped

    def set(self) -> None:
        """Stops the actor after its message, as in Pykka."""
        self._mailbox.stop()

    def clear(self) -> None:
        """As in Pykka; an actor that has stopped does not start again."""
        super().clear()
        self._mailbox.stopped = False


def answer(reply: pykka.Future[Any], value: Any) -> None:
    """Answers, unless somebody has done so; never raises."""
    if isinstance(reply, Future):
        reply.answer(value)
        return
    try:
        reply.set(value)
    except Exception:
        return


def answer_error(reply: pykka.Future[Any], error: BaseException) -> None:
    """Answers with an error, unless there is an answer; never raises."""
    if isinstance(reply, Future):
        reply.answer_error(error)
        return
    try:
        reply.set_exception((type(error), error, error.__traceback__))
    except Exception:
        return


def refuse(message: Any, reply: pykka.Future[Any] | None, name: object) -> None:
    """Answers for an actor that is gone: a stop succeeded, anything else did not."""
    if reply is None:
        return
    if isinstance(message, pykka.messages._ActorStop):
        answer(reply, None)
    else:
        answer_error(reply, pykka.ActorDeadError(f"{name} stopped before handling the message"))


def pass_on(done: Future, reply: pykka.Future[Any]) -> None:
    """Answers `reply` as `done` was answered."""
    try:
        value = done.get(timeout=0)
    except BaseException as error:
        answer_error(reply, error)
    else:
        answer(reply, value)

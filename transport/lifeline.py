"""One connection from `hello` to its end: the socket, what is said over it, and its heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.texts import clean_text
from transport.codec import Call, Notice, encode
from transport.dealer import Address, Connection, KeyPair, Mute, resolved
from transport.session import HEARTBEAT, Bad, Conversation, Ticks
from transport.wire import HELLO, PROTOCOLS

_TICK_S: Final = 0.5
_HELLO_WITHIN_S: Final = 15.0  # with the handshake; a server that 10,000 come back to is slow
_BEFORE_HELLO_S: Final = 60.0  # nothing is said before the hello is answered


class Lifeline:
    """A connection on the running loop.

    Args:
        address: the server.
        clock: monotonic seconds.
        gone_s: a server that is silent this long is left.
        on_message: a call or a notice has come.
        beat_body: the body of a heartbeat.
    """

    def __init__(
        self,
        address: Address,
        clock: Callable[[], float],
        gone_s: float,
        on_message: Callable[[Lifeline, Call | Notice], None],
        beat_body: Callable[[], dict[str, Any]] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._clock = clock
        self._on_message = on_message
        self._beat_body = beat_body
        self.conversation = Conversation(clock(), _BEFORE_HELLO_S, gone_s)
        self.over: asyncio.Future[BorutaError] = self._loop.create_future()
        self.leaving = False  # the server has said goodbye
        self._goodbye: BorutaError | None = None  # and why
        self._connection: Connection | None = None
        self._ticks = Ticks(clock(), _TICK_S)
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def local_host(self) -> str:
        """The near address."""
        return "" if self._connection is None else self._connection.local_host

    @property
    def why(self) -> BorutaError:
        """Why it is over."""
        if self.over.done() and not self.over.cancelled():
            return self.over.result()
        return Unreachable(f"the connection to {self._address.url} was given up")

    # --- begin
    async def hello(
        self, keys: KeyPair | None, attempt: int, said: dict[str, Any]
    ) -> dict[str, Any]:
        """Connects and says hello; the reply.

        Raises:
            BorutaError: why it came to nothing.
        """
        target = await resolved(self._loop, self._address, attempt)
        self._connection = self._connect(target, keys)
        answer: asyncio.Future[dict[str, Any] | BorutaError] = self._loop.create_future()
        self.call("hello", {"protocols": list(PROTOCOLS), **said}, answer.set_result)
        await asyncio.wait(
            (answer, self.over), timeout=_HELLO_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        if answer.done():
            outcome = answer.result()
            if isinstance(outcome, BorutaError):
                raise outcome
            reply: dict[str, Any] = HELLO.reply(outcome, "the reply to hello")
            self.conversation.beat_s = float(reply["heartbeat_s"])
            return reply
        if self.over.done():
            raise self.over.result()
        raise Mute(f"no answer from {self._address.url}", server=self._address.url)

    def _connect(self, target: str, keys: KeyPair | None) -> Connection:
        return Connection(self._loop, self._address, target, keys, self._on_frame, self.end)

    # --- out
    def call(
        self,
        kind: str,
        body: dict[str, Any],
        answer: Callable[[dict[str, Any] | BorutaError], None],
    ) -> int:
        """Calls; its number. `answer` comes at most once: not at all if the connection ends first.

        Raises:
            TooLarge: it cannot be sent.
        """
        number, frame = self.conversation.call(kind, body, answer, None, self._clock())
        self.send(frame)
        return number

    def send(self, frame: bytes) -> None:
        """Sends."""
        if self._connection is not None:
            self.conversation.said_at = self._clock()
            self._connection.send(frame)

    # --- in
    def _on_frame(self, frame: bytes) -> None:
        found = self.conversation.receive(frame, self._clock())
        match found:
            case Call() | Notice():
                self._on_message(self, found)
            case Bad():
                if found.reply is not None:
                    self.send(found.reply)
                if found.cut:
                    self.end(Unreachable(f"{self._address.url} sends nothing that we understand"))
            case None:
                pass

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        now, conversation = self._clock(), self.conversation
        gap = self._ticks.gap(now)
        if gap:
            conversation.awoke(now, gap)
        if self._connection is None or self.over.done():
            return
        self._connection.drain_all()
        if conversation.silent(now):
            self.end(
                Mute(
                    f"{self._address.url} has been silent for {conversation.gone_s:g} s",
                    server=self._address.url,
                )
            )
        elif conversation.beat_due(now):
            self.send(self._beat())

    def _beat(self) -> bytes:
        body = None if self._beat_body is None else self._beat_body()
        return HEARTBEAT if not body else encode(Notice("heartbeat", body))

    # --- end
    def leave(self, within_s: float, reason: object) -> None:
        """The server said goodbye: what it was asked it may still answer, for a while."""
        if not self.leaving:
            self.leaving = True
            said = clean_text(reason) if isinstance(reason, str) else "it is stopping"
            error = self._goodbye = Unreachable(
                f"{self._address.url} said goodbye: {' '.join(said.split())}",
                server=self._address.url,
            )
            self._leaving = self._loop.call_later(within_s, self.end, error)

    def end(self, error: BorutaError) -> None:
        """The connection is over; `close` follows."""
        if not self.over.done():
            self.over.set_result(self._goodbye or error)

    def close(self) -> None:
        """Closes it; idempotent."""
        self._timer.cancel()
        if self._leaving is not None:
            self._leaving.cancel()
        if not self.over.done():
            self.over.cancel()
        if self._connection is not None:
            self._connection.close()

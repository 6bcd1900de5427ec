"""The client's end of protocol 1: one session with a server, kept up over reconnects by itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

from boruta.domain import defaults
from boruta.domain.errors import (
    BadRequest,
    BorutaError,
    InternalLogicError,
    NotLeader,
    NotPermitted,
    ShuttingDown,
    TimedOut,
    UnknownType,
    Unreachable,
    UnsupportedProtocol,
)
from transport.answering import Answering
from transport.codec import Call, Notice, encode
from transport.dealer import Address, HandshakeCut, KeyPair, Mute
from transport.lifeline import Lifeline
from transport.outstanding import Outstanding, Pending
from transport.retrying import MUTE_S, delay_s, leader_told
from transport.wire import DRYAD_CALLS, SESSION_BYTES, USER_CALLS, WORKER_CALLS, sent_again

__all__ = ["Address", "KeyPair", "Link"]

log = logging.getLogger("boruta.link")
_PERMANENT: Final = (NotPermitted, UnsupportedProtocol, BadRequest)
_LEAVE_WITHIN_S: Final = 3.0  # a server that has said goodbye has this long to answer
# Set in what `on_up` runs: its calls go out before the queued ones.
_greeting: contextvars.ContextVar[Lifeline | None] = contextvars.ContextVar(
    "boruta_greeting", default=None
)


class Link:
    """The DEALER side: one session with a server, kept up over reconnects by itself.

    Used on one loop, which is the one that runs when it is opened.

    Args:
        servers: tried in turn.
        keys: ours; None only with `insecure`.
        role: chooses the set of calls.
        software: what we call ourselves.
        session: 16 bytes; None makes new ones.
        insecure: no keys at either end.
        on_call: answers the server's calls to a worker.
        on_notice: takes the server's notices, heartbeats apart.
        on_up: called after each hello with its reply; other calls wait until it is done. If it
            raises, the connection is given up and the next one is tried.
        on_down: a connection whose hello was answered is over.
        beat_body: the body of a heartbeat.
        max_attempts: so many failures in a row end it; None: it tries for ever.
        clock: monotonic seconds; the loop's by default.
    """

    _lifeline: type[Lifeline] = Lifeline  # a simulation has one without a socket

    def __init__(
        self,
        servers: Sequence[Address],
        keys: KeyPair | None,
        *,
        role: Literal["user", "worker"],
        software: str,
        session: bytes | None = None,
        insecure: bool = False,
        on_call: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]] | None = None,
        on_notice: Callable[[str, dict[str, Any]], None] | None = None,
        on_up: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
        on_down: Callable[[BorutaError], None] | None = None,
        beat_body: Callable[[], dict[str, Any]] | None = None,
        max_attempts: int | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not servers:
            raise BadRequest("servers: want one address at least")
        for server in servers:
            server.parts()
        if keys is None and not insecure:
            raise BadRequest("keys: wanted, unless insecure is set")
        self._servers = tuple(servers)
        self._keys = None if insecure else keys
        self._hello_body = {
            "role": role, "software": software, "session": session or os.urandom(SESSION_BYTES),
        }
        # Others may come after the constructor: a feed adds itself.
        self.on_up: list[Callable[[dict[str, Any]], Awaitable[None]]] = [on_up] if on_up else []
        self.on_notice: list[Callable[[str, dict[str, Any]], None]] = (
            [on_notice] if on_notice else []
        )
        self.on_down: list[Callable[[BorutaError], None]] = [on_down] if on_down else []
        self._beat_body = beat_body
        self._max_attempts = max_attempts
        self._given_clock = clock
        self._user = user = role == "user"
        self._types = USER_CALLS if user else WORKER_CALLS
        self._gone_s = defaults.USER_LEAVES_S if user else defaults.PEER_GONE_S
        self._answering = Answering(on_call, self._noticed, {} if user else DRYAD_CALLS)
        self._outstanding = Outstanding(self._now)
        self._line: Lifeline | None = None  # hello was answered
        self._open = False  # and `on_up` is done: calls go out
        self._keeper: asyncio.Task[None] | None = None
        self._openers: set[asyncio.Future[dict[str, Any]]] = set()
        self._failures = 0
        self._refusals: dict[str, BorutaError] = {}
        self._retry_after_s: float | None = None
        self._given_up: BorutaError | None = None
        self._closed = False
        self.last_error: BorutaError | None = None
        self.hello: dict[str, Any] = {}
        self.local_host = ""
        self.server_host = ""

    @property
    def connected(self) -> bool:
        """Whether there is a connection whose hello was answered."""
        return self._line is not None and not self._line.over.done()

    def _now(self) -> float:
        return (self._given_clock or asyncio.get_running_loop().time)()

    # --- what is said
    async def call(
        self,
        kind: str,
        body: Mapping[str, Any],
        timeout: float | None = None,
        *,
        on_reply: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Calls; the checked reply. Waits for a connection where there is none.

        Args:
            kind: e.g. ``requests.get``.
            body: what `wire.py` says of it.
            timeout: seconds, connected or not; None: for ever.
            on_reply: called with the reply before anything that came after it is looked at.

        Raises:
            TimedOut: no answer within `timeout`.
            Unreachable: the connection was lost and the call may not be sent again, or the link
                has given up.
            BorutaError: whatever the server answers; what it would refuse for its size or
                types is refused before it is sent.
        """
        known = self._types.get(kind)
        if known is None:
            raise UnknownType(f"{kind!r:.80}: there is no such call", type=kind[:80])
        checked = known.body(body, kind)
        if self._closed:
            raise ShuttingDown("the client is closed")
        if self._given_up is not None:
            raise type(self._given_up)(self._given_up.message, **self._given_up.details)
        loop, greeting = asyncio.get_running_loop(), _greeting.get()
        pending = Pending(
            kind, checked, known.reply, sent_again(kind, checked), self._now(),
            loop.create_future(), on_reply,
        )
        timer = None if timeout is None else loop.call_later(timeout, self._too_late, pending)
        try:
            if greeting is not None and greeting is self._line and not self._open:
                self._outstanding.add_over(pending, greeting)
            else:
                self._outstanding.add(pending)
            return await pending.answer
        finally:
            self._outstanding.remove(pending)
            if timer is not None:
                timer.cancel()

    def _too_late(self, pending: Pending) -> None:
        why = "" if self._open or not self.last_error else f" ({self.last_error})"
        pending.settle(TimedOut(f"{pending.kind}: no answer in time{why}"))

    def notice(self, kind: str, body: Mapping[str, Any]) -> None:
        """Says something that wants no reply; dropped where there is no connection."""
        if self._line is not None:
            self._line.send(encode(Notice(kind, dict(body))))

    def _noticed(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "goodbye":
            self._retry_after_s = float(body.get("retry_after_s", 1.0))
        for take in self.on_notice:
            take(kind, body)

    def _took(self, line: Lifeline, message: Call | Notice) -> None:
        if isinstance(message, Notice) and message.type == "goodbye":
            self._outstanding.stopped(line)
            line.leave(_LEAVE_WITHIN_S, message.body.get("reason"))
        self._answering.take(line, message)

    # --- the life of the link
    async def open(self, timeout: float | None = None) -> dict[str, Any]:
        """Waits for the first hello; its reply.

        Raises:
            Unreachable: no hello within `timeout` or after the last attempt; says why.
            NotPermitted: no server admits this key.
            UnsupportedProtocol: no common version.
        """
        if self._closed:
            raise ShuttingDown("the client is closed")
        if self._open:
            return self.hello
        loop = asyncio.get_running_loop()
        opener: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._openers.add(opener)
        self._refusals.clear()
        if self._keeper is None or self._keeper.done():
            self._given_up, self._failures = None, 0
            self._keeper = loop.create_task(self._keep_up(), name="boruta-link")
        try:
            async with asyncio.timeout(timeout):
                return await opener
        except TimeoutError:
            what = self.last_error or f"no answer from {self._servers[0].url}"
            raise Unreachable(f"{what} (tried for {timeout:g} s)") from None
        finally:
            self._openers.discard(opener)

    async def close(self) -> None:
        """Ends it; calls that wait are answered ShuttingDown. Leaves nothing."""
        if self._closed:
            return
        self._closed = True
        error = ShuttingDown("the client is closed")
        self._outstanding.fail_all(error)
        self._settle_openers(error)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._answering.close()

    async def _keep_up(self) -> None:
        turn, leader = 0, None  # where one that does not lead has sent us
        mute_until: dict[str, float] = {}
        while True:
            address = leader or self._servers[turn % len(self._servers)]
            self._retry_after_s = None
            try:
                error = await self._one_connection(address, turn // len(self._servers))
            except BorutaError as refused:
                error = refused
            except Exception as defect:
                log.exception("link_failed server=%s", address.url)
                error = InternalLogicError(f"{type(defect).__name__}: {defect}")
            turn += leader is None
            if isinstance(error, Mute):
                mute_until[address.url] = self._now() + MUTE_S
            leader = leader_told(error, address)
            if leader is not None and self._now() < mute_until.get(leader.url, 0.0):
                leader = address  # the one that stands by is about to lead, or to know who does
            self._failed(address, error)
            if self._max_attempts is not None and self._failures >= self._max_attempts:
                self._give_up(error)
                return
            others = self._user and (len(self._servers) > 1 or isinstance(error, NotLeader))
            await asyncio.sleep(delay_s(self._failures, self._retry_after_s, others))

    def _failed(self, address: Address, error: BorutaError) -> None:
        self._failures += 1
        if str(error) != str(self.last_error):
            log.warning("link_down server=%s: %s", address.url, error)
        repeated = isinstance(error, HandshakeCut) and isinstance(self.last_error, HandshakeCut)
        self.last_error = error
        if repeated:
            error = NotPermitted(error.message, server=address.url)
        if isinstance(error, _PERMANENT):
            self._refusals[address.url] = error
        else:
            self._refusals.pop(address.url, None)
        # What one server refuses another may take: all of them have to.
        if all(server.url in self._refusals for server in self._servers):
            self._settle_openers(error)

    def _give_up(self, error: BorutaError) -> None:
        if not isinstance(error, _PERMANENT):
            error = Unreachable(error.message, **error.details)
        self._given_up = error
        self._outstanding.fail_all(error)
        self._settle_openers(error)

    def _settle_openers(self, error: BorutaError | None) -> None:
        for opener in self._openers:
            if opener.done():
                continue
            if error is None:
                opener.set_result(self.hello)
            else:
                opener.set_exception(error)

    async def _one_connection(self, address: Address, attempt: int) -> BorutaError:
        line = self._lifeline(address, self._now, self._gone_s, self._took, self._beat_body)
        try:
            self.hello = await line.hello(self._keys, attempt, self._hello_body)
            self.server_host, self.local_host = address.parts()[0], line.local_host
            self._line = line
            await self._greet(line)
            log.info("link_up server=%s kept=%s", address.url, self.hello["session_kept"])
            self._open, self._failures, self.last_error = True, 0, None
            self._refusals.clear()
            self._settle_openers(None)
            if not line.leaving:
                self._outstanding.opened(line)
            return await line.over
        finally:
            was_up, self._open, self._line = self._line is not None, False, None
            error = line.why
            line.close()
            self._outstanding.lost(line)
            if was_up and not self._closed:
                self._went_down(error)

    def _went_down(self, error: BorutaError) -> None:
        for on_down in self.on_down:
            try:
                on_down(error)
            except Exception:
                log.exception("on_down_failed")

    async def _greet(self, line: Lifeline) -> None:
        for on_up in self.on_up:
            token = _greeting.set(line)
            try:
                task = asyncio.ensure_future(on_up(self.hello))
            finally:
                _greeting.reset(token)
            try:
                await asyncio.wait((task, line.over), return_when=asyncio.FIRST_COMPLETED)
                if line.over.done():
                    raise line.over.result()
                await task
            finally:
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task
        if line.over.done():
            raise line.over.result()

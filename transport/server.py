"""The server's end of protocol 1: greets peers, answers their calls, and notices who is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from boruta.domain import defaults
from boruta.domain.errors import BorutaError, HelloRequired, InternalLogicError, UnknownType
from boruta.domain.ports import Front
from boruta.domain.types import Caller
from transport.addresses import parse_networks
from transport.codec import Call, Notice, Packed, encode
from transport.door import Door
from transport.greeting import Greeter, Guest
from transport.peers import Peer
from transport.router import Router
from transport.session import HEARTBEAT, Bad, Ticks
from transport.unanswered import Unanswered
from transport.wire import NOTICES

log = logging.getLogger("boruta.wire")
_TICK_S: Final = 0.5
_RETRY_AFTER_S: Final = 1.0
_BEATS_S: Final = 0.05  # heartbeats are sent back so much later; a peer waits for seconds
_LAST_WORDS_S: Final = 0.1  # what was just said needs to go out before the socket is closed


class Server:
    """All peers of one engine.

    Args:
        front: the engine.
        bind: a ZeroMQ address, e.g. tcp://127.0.0.1:7175; port 0 takes a free one.
        public_key: the server's, Z85 text; so is `secret_key`.
        admit: whoever has a public key, or None.
        insecure: no keys at all: every peer is an admin.
        software: what the server calls itself.
        board_networks: where agents may say that their SSH is, beside their own address.
        loop: the loop that everything runs on.
        may_speak: whether no other server has taken over; else peers are cut, not answered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        front: Front,
        *,
        bind: str,
        public_key: str,
        secret_key: str,
        admit: Callable[[str], Caller | None],
        insecure: bool,
        software: str,
        board_networks: Sequence[str],
        loop: asyncio.AbstractEventLoop,
        may_speak: Callable[[], bool] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._front = front
        self._loop = loop
        self._clock = clock or loop.time
        self._insecure = insecure
        door = Door(bind, public_key, secret_key, admit, insecure)
        self._router = Router(
            loop, door, self._clock, self._on_frame, self._on_lost, may_speak
        )
        self._greeter = Greeter(
            front, self._router, parse_networks(board_networks), software, self._clock, self._info,
            loop,
        )
        self._guests: dict[Peer, Guest] = {}
        # What a lost connection has begun goes on, but for acquires: those the client sends again.
        self._tasks: set[asyncio.Task[None]] = set()
        self._acquiring: dict[Peer, set[asyncio.Task[None]]] = {}
        self._unanswered = Unanswered()
        self._beaten: list[Peer] = []  # whose heartbeat is to be sent back
        self._stopping = False
        self._ticks = Ticks(self._clock(), _TICK_S)
        self._timer: asyncio.TimerHandle | None = None
        self._counts = dict.fromkeys(
            ("calls", "unknown_notices", "bad_frames", "silent", "internal_errors"), 0
        )

    # --- start and end
    def start(self) -> None:
        """Binds and serves.

        Raises:
            BadAddress: no address to bind.
            Unavailable: the port is taken.
        """
        self._router.start()
        if self._insecure:
            log.warning(
                "insecure url=%s: no keys; whoever reaches this address is an admin", self.url
            )
        self._ticks = Ticks(self._clock(), _TICK_S)
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    @property
    def url(self) -> str:
        """The bound address."""
        return self._router.url

    def announce_stop(self, reason: str, retry_after_s: float = _RETRY_AFTER_S) -> None:
        """Says goodbye to every peer. Who waits to acquire is not answered: he asks again."""
        self._stopping = True
        for tasks in self._acquiring.values():
            for task in tasks:
                task.cancel()
        frame = encode(
            Notice("goodbye", {"reason": reason[:1000], "retry_after_s": retry_after_s})
        )
        for peer in self._guests:
            self._router.try_send(peer, frame)

    def revoke(self, public_key: str) -> int:
        """Cuts the live connections of a key at once; how many."""
        peers = self._router.peers.of_key(public_key)
        for peer in peers:
            self._router.cut(peer, "its key was removed")
        return len(peers)

    def stats(self) -> dict[str, int]:
        """Plain counts."""
        return {
            "peers": len(self._router.peers),
            "users": self._greeter.users,
            "workers": self._greeter.workers,
            "calls_in_flight": len(self._tasks),
            **self._counts,
            **self._router.stats(),
        }

    async def stop(self, grace_s: float = 1.0) -> None:
        """Answers what is in flight for a while, then closes; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._stopping:
            self.announce_stop("the server is stopping")
        if self._guests:
            await asyncio.sleep(min(grace_s, _LAST_WORDS_S))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0)
        self._greeter.close()
        self._router.close()

    # --- frames
    def _on_frame(self, peer: Peer, frame: bytes, now: float) -> None:
        if frame == HEARTBEAT:  # nearly all that 10,000 boards say; as it is mostly written
            peer.conversation.heard_at = now
            guest = self._guests.get(peer)
            if guest is not None:
                self._heard(peer, guest)
            return
        found = peer.conversation.receive(frame, now)
        match found:
            case Call():
                self._on_call(peer, found)
            case Notice():
                self._on_notice(peer, found)
            case Bad():
                self._on_bad(peer, found)
            case None:
                pass

    def _on_bad(self, peer: Peer, bad: Bad) -> None:
        self._counts["bad_frames"] += 1
        if bad.reply is not None:
            self._router.send(peer, bad.reply)
        if bad.cut:
            self._router.cut(peer, f"{peer.conversation.bad_frames} bad frames: {bad.error}")

    def _on_notice(self, peer: Peer, notice: Notice) -> None:
        guest = self._guests.get(peer)
        if guest is None:
            return  # nothing before `hello` has an effect
        check = NOTICES.get(notice.type)
        if notice.type != "heartbeat" or check is None:
            peer.conversation.unknown_notices += 1
            self._counts["unknown_notices"] += 1
            return
        try:
            check(notice.body, "body")
        except BorutaError as error:
            self._on_bad(peer, peer.conversation.count_bad(error))
            return
        self._heard(peer, guest)

    def _heard(self, peer: Peer, guest: Guest) -> None:
        guest.heard()
        # Sent back in batches: each send alone would wake ZeroMQ's thread.
        if not self._beaten:
            self._loop.call_later(_BEATS_S, self._beat_back)
        self._beaten.append(peer)

    def _beat_back(self) -> None:
        beaten, self._beaten = self._beaten, []
        for peer in beaten:
            if not peer.gone:
                self._router.try_send(peer, HEARTBEAT)

    def _on_call(self, peer: Peer, call: Call) -> None:
        self._counts["calls"] += 1
        guest = self._guests.get(peer)
        try:
            if guest is None:
                if call.type != "hello":
                    raise HelloRequired("say hello first", type=call.type[:80])
                self._hello(peer, call)
                return
            known = guest.types.get(call.type)
            if known is None:
                raise UnknownType(
                    f"{call.type!r:.80}: a {peer.role} has no such call", type=call.type[:80]
                )
            body = known.body(call.body, "body")
            self._unanswered.check(peer)
            answer = guest.calls.answer(call.type, body)
        except BorutaError as error:
            self._reply(peer, call.id, error)
            return
        except Exception:
            self._reply(peer, call.id, self._internal(call.type))
            return
        if isinstance(answer, dict):
            self._reply(peer, call.id, answer)
            return
        self._begin(peer, call, answer)

    def _begin(self, peer: Peer, call: Call, answer: Any) -> None:
        answered = self._unanswered.add(peer)
        task = self._loop.create_task(self._run(peer, call, answer, answered))
        self._tasks.add(task)
        acquiring = self._acquiring.setdefault(peer, set()) if _may_be_cancelled(call) else None
        if acquiring is not None:
            acquiring.add(task)

        def over(done: asyncio.Task[None]) -> None:
            answered()
            self._tasks.discard(done)
            if acquiring is not None:
                acquiring.discard(done)
            if done.cancelled() and asyncio.iscoroutine(answer):
                answer.close()  # it may have been cancelled before its first step

        task.add_done_callback(over)

    async def _run(
        self,
        peer: Peer,
        call: Call,
        answer: Coroutine[Any, Any, Any],
        answered: Callable[[], None],
    ) -> None:
        outcome: dict[str, Any] | Packed | BorutaError
        try:
            outcome = await answer
        except BorutaError as error:
            outcome = error
        except Exception:
            outcome = self._internal(call.type)
        answered()  # before the reply: whoever has it may call again
        self._reply(peer, call.id, outcome)

    def _internal(self, kind: str) -> InternalLogicError:
        self._counts["internal_errors"] += 1
        log.exception("call_failed type=%s", kind)
        return InternalLogicError(f"{kind} failed by a defect of Boruta's; see the server's log")

    def _reply(
        self, peer: Peer, number: int, outcome: dict[str, Any] | Packed | BorutaError
    ) -> None:
        if not peer.gone:
            self._router.send(peer, peer.conversation.reply(number, outcome))

    # --- who comes and goes
    def _hello(self, peer: Peer, call: Call) -> None:
        guest, reply = self._greeter.hello(peer, call.body)
        self._guests[peer] = guest
        self._reply(peer, call.id, reply)
        guest.greeted()

    def _on_lost(self, peer: Peer, error: BorutaError) -> None:
        guest = self._guests.pop(peer, None)
        for task in self._acquiring.pop(peer, ()):
            task.cancel()
        if guest is not None:
            log.info("lost peer=%s role=%s: %s", peer, peer.role, error)
            try:
                guest.lost()
            except Exception:
                log.exception("lost_failed peer=%s", peer)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        try:
            self.look()
        except Exception:
            log.exception("tick_failed")

    def look(self) -> None:
        """Judges who is gone; done twice a second."""
        now = self._clock()
        gap = self._ticks.gap(now)
        if gap:
            log.warning("was_stopped seconds=%.1f: silence clocks start anew", gap)
            self._router.awoke(gap)
            for peer in self._router.peers:
                peer.conversation.awoke(now, gap)
                peer.met_at += gap
        self._router.drain_all()
        for peer in self._router.peers:
            talk = peer.conversation
            if talk.asks:
                talk.expire(now)
            if talk.silent(now):
                self._counts["silent"] += 1
                self._router.cut(peer, f"silent for {defaults.PEER_GONE_S:g} s")
            elif not peer.role and now - peer.met_at >= defaults.HELLO_WITHIN_S:
                self._router.cut(peer, f"no hello within {defaults.HELLO_WITHIN_S:g} s")
        self._router.tick(now)

    def _info(self, caller: Caller) -> dict[str, Any]:
        return {
            **self._front.info(),
            "protocols": [1],
            "name": caller.name,
            "role": str(caller.role),
            **({"wire": self.stats()} if caller.is_admin else {}),
        }


def _may_be_cancelled(call: Call) -> bool:
    # Whoever waits to acquire has changed nothing yet; anything else may be half done.
    return call.type == "requests.acquire"

"""The server's end of the simulated network: the real `Server` over a router without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boruta.domain import defaults
from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.ports import Front
from boruta.testing.simulation.network import End, Network, Wire
from boruta.testing.simulation.process import Process
from boruta.testing.simulation.promises import Promises
from transport.codec import Call, Notice, Packed
from transport.door import Door
from transport.greeting import Greeter
from transport.peers import Peer
from transport.router import Router
from transport.server import Server
from transport.session import Answer, Bad, Conversation, Ticks

_TICK_S = 0.5
_HOST = "10.0.0.1"
_Due = Callable[[], float | None]  # when something is too late; None: it is not any more


class _Conversation(Conversation):
    """Has the server look when something that was asked is due; notes what it says to whom."""

    def __init__(
        self,
        now: float,
        gone_s: float,
        look_at: Callable[[float, _Due], None],
        name: str,
        promises: Promises,
    ) -> None:
        super().__init__(now, gone_s=gone_s)
        self._look_at = look_at
        self._name = name
        self._promises = promises
        self._asks: dict[int, Call] = {}

    def call(
        self, kind: str, body: dict[str, Any], answer: Answer, until: float | None, now: float
    ) -> tuple[int, bytes]:
        self._promises.ordered(self._name, kind, body)
        made = super().call(kind, body, answer, until, now)
        if until is not None:
            self._look_at(until, lambda: self._until(made[0]))
        return made

    def receive(self, frame: bytes, now: float) -> Call | Notice | Bad | None:
        found = super().receive(frame, now)
        if isinstance(found, Call):
            self._asks[found.id] = found
        return found

    def reply(self, number: int, outcome: dict[str, Any] | Packed | BorutaError) -> bytes:
        call = self._asks.pop(number, None)
        if call is not None and isinstance(outcome, dict):
            self._promises.answered(self._name, call.type, call.body, outcome)
        return super().reply(number, outcome)

    def _until(self, number: int) -> float | None:
        asked = self._asked.get(number)
        return None if asked is None else asked.until

    @property
    def asked(self) -> int:
        """How many calls have no answer yet."""
        return len(self._asked)


class _Look:
    """The moment at which something that was asked is due; mostly it is answered by then."""

    __slots__ = ("_due", "_router")

    def __init__(self, router: SimRouter, due: _Due) -> None:
        self._router = router
        self._due = due

    @property
    def off(self) -> bool:
        return self._due() is None

    def fire(self) -> None:
        self._router.look_if(self._due)


class _Outbound:
    """Frames to peers: there is always room."""

    blocked = 0

    def __init__(self, wires: dict[Peer, Wire]) -> None:
        self._wires = wires

    def send(self, peer: Peer, frame: bytes) -> None:
        wire = self._wires.get(peer)
        if wire is not None and not peer.gone:
            wire.send(wire.near, frame)

    def try_send(self, peer: Peer, frame: bytes) -> bool:
        self.send(peer, frame)
        return True

    def forget(self, peer: Peer) -> None:
        pass

    def awoke(self, now: float) -> None:
        pass

    def close(self) -> None:
        pass


class SimRouter(Router):
    """The router of a simulated server: wires instead of a ROUTER socket."""

    def __init__(
        self,
        network: Network,
        process: Process,
        on_frame: Callable[[Peer, bytes, float], None],
        on_lost: Callable[[Peer, BorutaError], None],
        promises: Promises,
    ) -> None:
        self._promises = promises
        door = Door("tcp://10.0.0.1:7175", "", "", lambda _: None, insecure=True)
        super().__init__(process.loop, door, process.loop.time, on_frame, on_lost)
        self.network = network
        self.process = process
        self.url = door.bind
        self.wires: dict[Peer, Wire] = {}
        self._of: dict[Wire, Peer] = {}
        self._waiting: dict[Wire, None] = {}  # with frames that were not taken
        self._outbound: Any = _Outbound(self.wires)
        self.look: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Listens."""
        self._open = True
        self.network.listens(self)

    def close(self) -> None:
        """Closes every connection."""
        if not self._open:
            return
        self._open = False
        if self.network.router is self:
            self.network.router = None
        for peer in self.peers:
            self._over(peer, Unreachable("the server has stopped"))

    def end(self) -> End:
        """The far end of a new connection."""
        return End(self.process, defaults.HEARTBEAT_S, defaults.PEER_GONE_S)

    # --- in
    def take(self, wire: Wire) -> None:
        """What has come over a wire."""
        inbox = wire.far.inbox
        while inbox and self._open:
            frame = inbox.popleft()
            peer = self._of.get(wire)
            if frame is None:
                if peer is not None:
                    self._over(peer, Unreachable("the connection is gone"))
                wire.close(wire.far)
                return
            if not wire.far.open:
                return
            if peer is None:
                peer = self._welcome(wire)
            if not peer.gone:
                self.counts["frames"] += 1
                self._on_frame(peer, frame, self._clock())

    def drain_all(self) -> None:
        """Takes all that came."""
        for wire in tuple(self._of):
            self.take(wire)

    def _welcome(self, wire: Wire) -> Peer:
        now, serial = self._clock(), next(self._serials)
        far = wire.far
        conversation = _Conversation(
            now, defaults.PEER_GONE_S, self._look_at, wire.caller.name, self._promises
        )
        # A file descriptor that cannot be: nothing is asked of the operating system.
        peer = Peer(
            serial,
            serial.to_bytes(5, "big"),
            wire.host,
            wire.caller,
            -serial,
            (wire.host, 40_000 + serial % 20_000),
            conversation,
            now,
        )
        self.peers.add(peer)
        self.wires[peer], self._of[wire] = wire, peer
        far.look = self.look
        far.heard_at = lambda: conversation.heard_at
        far.set_heard = lambda at: setattr(conversation, "heard_at", at)
        if not far.hears:
            wire.watch(far)
        within = defaults.HELLO_WITHIN_S
        self._look_at(now + within, lambda: None if peer.role else peer.met_at + within)
        return peer

    def _look_at(self, when: float, due: _Due) -> None:
        world = self.network.world
        at = when + _TICK_S * world.random.random()
        if not self.process.dead:
            world.add(at, self.process, _Look(self, due))

    def look_if(self, due: _Due) -> None:
        """Has the server look, if something is still due."""
        when = due()
        if when is None:
            return  # it was answered
        if when > self._clock():
            self._look_at(when, due)  # this process stood still meanwhile
        else:
            self.process.loop.call_soon(self.look)

    # --- the end of a connection
    def cut(self, peer: Peer, reason: str) -> None:
        """Ends a connection now."""
        super().cut(peer, reason)
        self._forget(peer)

    def _over(self, peer: Peer, error: BorutaError) -> None:
        super()._over(peer, error)
        self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        wire = self.wires.pop(peer, None)
        if wire is not None:
            self._of.pop(wire, None)
            wire.close(wire.far)

    def tick(self, now: float) -> None:
        """Forgets who is long gone; what the operating system would be asked is left out."""
        self.peers.forget_cut(now - 30.0)

    def refresh(self) -> None:
        """Whoever's heartbeats come has just sent one."""
        for wire in self.wires.values():
            wire.refresh(wire.far)


class SimServer(Server):
    """The real server; its looks that would find nothing are left out."""

    def __init__(
        self, front: Front, network: Network, process: Process, promises: Promises
    ) -> None:
        super().__init__(
            front,
            bind="tcp://10.0.0.1:7175",
            public_key="",
            secret_key="",
            admit=lambda _: None,
            insecure=False,
            software="boruta simulated",
            board_networks=(),
            loop=process.loop,
            clock=process.loop.time,
        )
        self._process = process
        router = self.router = SimRouter(network, process, self._on_frame, self._on_lost, promises)
        router.look = self.look
        self._router = router
        self._greeter = Greeter(
            front, router, (), "boruta simulated", self._clock, self._info, process.loop
        )

    def _tick(self) -> None:
        """Nothing looks but when there is something to see."""

    def look(self, gap: float = 0.0) -> None:
        """Judges who is gone; after a standstill of `gap` seconds nobody's silence counts."""
        now = self._clock()
        self._ticks = Ticks(now - _TICK_S - gap, _TICK_S)
        self.router.refresh()
        super().look()

    @property
    def unanswered(self) -> int:
        """Calls that are being answered, and commands without an answer."""
        asked = sum(
            peer.conversation.asked
            for peer in self.router.peers
            if isinstance(peer.conversation, _Conversation)
        )
        return len(self._tasks) + asked

"""A machine's end of the simulated network: the real `Link` over connections without a socket."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from boruta.domain import defaults
from boruta.domain.errors import BorutaError, Unreachable
from boruta.domain.types import Caller
from boruta.testing.simulation.network import Cable, End, Network, Wire
from boruta.testing.simulation.process import Process
from transport.client import Address, Link
from transport.dealer import Connection, KeyPair
from transport.lifeline import Lifeline
from transport.session import Ticks

SERVER = Address("tcp://10.0.0.1:7175", "")
_TICK_S = 0.5


class Machine:
    """Where an agent or a client runs: a cable to the server, and a process at a time."""

    def __init__(self, network: Network, name: str, caller: Caller, host: str) -> None:
        self.network = network
        self.world = network.world
        self.name = name
        self.caller = caller
        self.host = host
        self.cable: Cable = network.cable(name)
        self.lives = 0
        self.booted_at = 0.0
        self.runs_since = 0.0  # also after a standstill
        self.process: Process | None = None
        self.lines: list[SimLifeline] = []

    @property
    def runs(self) -> bool:
        """Its process is there and not frozen."""
        return self.process is not None and self.process.runs

    def start(self) -> None:
        """Starts what runs here, in a new process."""
        raise NotImplementedError

    def boot(self) -> Process:
        """A new process."""
        self.lives += 1
        self.process = Process(self.world, f"{self.name}.{self.lives}")
        self.lines = []
        self.booted_at = self.runs_since = self.world.now
        return self.process

    def kill(self) -> None:
        """The process dies."""
        process = self.process
        if process is not None and not process.dead:
            process.kill()
            self.network.process_changed(process)

    def freeze(self) -> None:
        """The process stands still."""
        if self.process is not None and self.process.runs:
            self.process.freeze()
            self.network.process_changed(self.process)

    def resume(self) -> None:
        """The process goes on."""
        process = self.process
        if process is None or process.dead or not process.frozen:
            return
        gap = self.world.now - process.frozen_at
        process.resume()
        self.runs_since = self.world.now
        for line in self.lines:
            process.loop.call_soon(line.look, gap)
        self.network.process_changed(process)

    def cut(self) -> None:
        """Its cable is cut, both ways."""
        self.cable.set(False, False)

    def mend(self) -> None:
        """Its cable is whole again."""
        self.cable.set(True, True)

    def link(self, *args: Any, **options: Any) -> Link:
        """A real link, over this machine's cable."""
        made = Link(*args, clock=None, **options)
        made._lifeline = cast(Any, functools.partial(SimLifeline, self))
        return made


class SimConnection:
    """The near end of a wire, as `transport.dealer.Connection` is of a socket."""

    local_host = ""

    def __init__(
        self,
        machine: Machine,
        process: Process,
        gone_s: float,
        on_frame: Callable[[bytes], None],
        on_over: Callable[[BorutaError], None],
    ) -> None:
        beat = defaults.HEARTBEAT_S if gone_s > 10.0 else defaults.USER_HEARTBEAT_S
        self.end = End(process, beat, gone_s)
        self.end.take = self.drain_all
        self._on_frame, self._on_over = on_frame, on_over
        self._over = False
        found = machine.network.dial(machine.cable, self.end, machine.caller, machine.host)
        self.wire: Wire | None = None
        if isinstance(found, Wire):
            self.wire = found
            found.far.beat_s = beat
        else:
            process.loop.call_later(0.001, self._end, found)

    def send(self, frame: bytes) -> None:
        """Sends."""
        if not self._over and self.wire is not None:
            self.wire.send(self.wire.far, frame)

    def drain_all(self) -> None:
        """Takes what came."""
        inbox = self.end.inbox
        while inbox and not self._over:
            frame = inbox.popleft()
            if frame is None:
                self._end(Unreachable("the connection was lost"))
            else:
                self._on_frame(frame)

    def _end(self, error: BorutaError) -> None:
        if not self._over:
            self._over = True
            self._on_over(error)

    def close(self) -> None:
        """Closes it; idempotent."""
        self._over = True
        if self.wire is not None:
            self.wire.close(self.end)


class SimLifeline(Lifeline):
    """The real lifeline; its looks that would find nothing are left out."""

    def __init__(self, machine: Machine, *args: Any) -> None:
        super().__init__(*args)
        self._timer.cancel()
        self._machine = machine
        self._connected: SimConnection | None = None
        machine.lines.append(self)

    async def hello(
        self, keys: KeyPair | None, attempt: int, said: dict[str, Any]
    ) -> dict[str, Any]:
        """Connects and says hello; dials that would come to nothing are left out but for one.

        Raises:
            BorutaError: why it came to nothing.
        """
        cable = self._machine.cable
        if not cable.dials():
            process: Process = cast(Any, self._loop).process
            await cable.way(process)
            raise Unreachable("nothing answers")
        return await super().hello(keys, attempt, said)

    def _connect(self, target: str, keys: KeyPair | None) -> Connection:
        process: Process = cast(Any, self._loop).process
        gone_s = self.conversation.gone_s
        assert gone_s is not None
        made = SimConnection(self._machine, process, gone_s, self._on_frame, self.end)
        end, talk = made.end, self.conversation
        end.look = self.look
        end.heard_at = lambda: talk.heard_at
        end.set_heard = lambda at: setattr(talk, "heard_at", at)
        if made.wire is not None and not end.hears:
            made.wire.watch(end)
        self._connected = made
        return cast(Connection, made)

    def _tick(self) -> None:
        """Nothing looks but when there is something to see."""

    def look(self, gap: float = 0.0) -> None:
        """Judges whether the server is silent, and beats if it is time."""
        made = self._connected
        if made is None or self.over.done():
            return
        if made.wire is not None:
            made.wire.refresh(made.end)
        now = self._clock()
        self._ticks = Ticks(now - _TICK_S - gap, _TICK_S)
        super()._tick()
        self._timer.cancel()

    def close(self) -> None:
        """Closes it; idempotent."""
        super().close()
        if self in self._machine.lines:
            self._machine.lines.remove(self)

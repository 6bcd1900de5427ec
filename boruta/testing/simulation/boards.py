"""Simulated boards: what is really open on them, their disk, and the real agent that runs there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from boruta.domain.commands import Registered
from boruta.domain.errors import BadRequest, InfraError, SessionAlive
from boruta.domain.types import UUID_CAP, Caller, Capabilities, Check, Role
from boruta.testing.dryad import HOST_KEY
from boruta.testing.simulation.faults import Weather
from boruta.testing.simulation.lines import SERVER, Machine
from boruta.testing.simulation.network import Network
from boruta.testing.simulation.process import Process
from dryad.agent import Agent
from dryad.clock import Alarm
from dryad.connection import Connection
from dryad.lease import Remembered

STARTS_S = (1.0, 10.0)  # what a killed agent needs to be back
_STUBBORN_MOST = 2  # tries to end one session that may fail
Watch = Callable[[str, "Board", str], None]


class Disk:
    """What survives the agent's process."""

    def __init__(self, board: Board, process: Process) -> None:
        self._board = board
        self._process = process

    def load(self) -> Remembered:
        """What was saved last."""
        return self._board.remembered

    async def save(self, what: Remembered) -> None:
        """Takes a moment; a process that dies meanwhile has not saved."""
        await asyncio.sleep(0.002 * self._board.draw())
        if not self._process.dead:
            self._board.remembered = what
            if what.job is not None and what.key:
                self._board.leased_until = what.job.ends_at
                self._board.watch("lease", self._board, what.key)


class SimSessions:
    """The sessions of one agent's life, as embedded ones: they die with its process."""

    username = "boruta-user"
    host_keys = (HOST_KEY,)

    def __init__(self, board: Board, process: Process) -> None:
        self._board = board
        self._process = process

    async def start(self) -> str:
        """Listens."""
        return self._board.address

    async def let_in(self, epoch: int, key: str, on_login: Callable[[], None]) -> None:
        """Lets a key in."""
        board = self._board
        await asyncio.sleep(0.02 * board.draw())
        if board.weather.strikes("key_refused"):
            raise BadRequest("the key cannot be installed")
        if self._process.dead:
            return
        board.watch("let_in", board, key)
        board.open_key, board.on_login = key, on_login

    async def end(self) -> None:
        """The key opens nothing; whoever was in is out, after a while."""
        board = self._board
        if not self._process.dead:
            board.open_key = None
        await asyncio.sleep(0.3 * board.draw())
        stubborn = board.inside is not None and board.stubborn < _STUBBORN_MOST
        if stubborn and board.weather.strikes("session_alive"):
            board.stubborn += 1
            board.troubled_at = board.world.now
            raise SessionAlive("a process of the holder does not die")
        if not self._process.dead:
            board.out()

    @property
    def active(self) -> bool:
        """Somebody is in."""
        return self._board.inside is not None

    async def stop(self) -> None:
        """Ends it and listens no more."""
        await self.end()


class SimHardware:
    """A board's hardware with its moods."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def maintenance(self, msg: str) -> None:
        """Shows `msg`."""
        await asyncio.sleep(0.05 * self._board.draw())

    async def ready(self) -> None:
        """Cleans up, or has one of its days."""
        board = self._board
        await asyncio.sleep(0.1 * board.draw())
        if board.weather.strikes("prepare_slow"):
            await asyncio.sleep(90.0 * board.draw())
        if board.weather.strikes("prepare_fails"):
            raise InfraError("the board does not answer")
        if board.weather.strikes("prepare_hangs"):
            await asyncio.get_running_loop().create_future()

    async def checks(self) -> list[Check]:
        """All is well."""
        return [Check("board", True, "simulated")]

    async def close(self) -> None:
        """Answers no more."""


class _Clock:
    """The machine's clock, as `dryad.clock` has it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def now(self) -> float:
        """Seconds."""
        return self._process.world.now

    def call_at(self, when: float, fn: Callable[[], None]) -> Alarm:
        """Calls `fn` once `when` has come."""
        return self._process.loop.call_at(max(when, self.now()), fn)

    async def sleep(self, seconds: float) -> None:
        """Comes back after `seconds`."""
        await asyncio.sleep(seconds)


class Board(Machine):
    """A board with its agent.

    Attributes:
        open_key: the public key that opens it now.
        inside: the public key of whoever is in.
        remembered: its disk.
        watch: told of ``let_in``, ``lease``, ``login``, ``out`` with the key, and of ``stays``: the
            server has just said that the agent holds no job, and somebody is inside.
    """

    def __init__(
        self, network: Network, weather: Weather, number: int, caps: dict[str, str], watch: Watch
    ) -> None:
        uuid = f"board-{number:03}"
        host = f"10.0.1.{number % 250 + 1}"
        super().__init__(network, uuid, Caller(f"key-{uuid}", Role.WORKER), host)
        self.uuid = uuid
        self.weather = weather
        self.watch = watch
        self.address = f"{host}:{7022 + number // 250}"
        self.caps = Capabilities({UUID_CAP: uuid, **caps})
        self.draw = self.world.random.random
        self.open_key: str | None = None
        self.inside: str | None = None
        self.leased_until = 0.0  # what the agent was told last
        self.stubborn = 0  # how often the session inside did not end
        self.troubled_at = float("-inf")  # when a session last did not end
        self.on_login: Callable[[], None] | None = None
        self.remembered = Remembered()
        self.agent: Agent | None = None
        self.connection: Connection | None = None

    def start(self) -> None:
        """Starts the agent, unless it lives."""
        if self.process is not None and not self.process.dead:
            return
        process = self.boot()
        process.loop.create_task(self._run(process))

    async def _run(self, process: Process) -> None:
        hardware = SimHardware(self)

        async def check() -> tuple[Check, ...]:
            return tuple(await hardware.checks())

        agent = self.agent = Agent(
            sessions=SimSessions(self, process),
            hardware=hardware,
            check=check,
            memory=Disk(self, process),
            clock=_Clock(process),
            boot="boot",
            name=self.uuid,
        )
        address = await agent.start()
        self.connection = Connection(
            agent,
            caps=self.caps,
            ssh_address=address,
            servers=[SERVER],
            keys=None,
            insecure=True,
            on_registered=self._registered,
            make_link=self.link,
        )
        self.connection.open()

    def kill(self) -> None:
        """The agent dies, and every session with it."""
        super().kill()
        self.open_key = self.on_login = None
        self.out()

    def _registered(self, answer: Registered) -> None:
        if answer.job is None and self.inside is not None and not self.stubborn:
            self.watch("stays", self, self.inside)

    def report(self) -> None:
        """The agent finds the board broken."""
        if self.agent is not None:
            self.troubled_at = self.world.now
            self.agent.report("the board is on fire")

    # --- people
    def login(self, key: str) -> bool:
        """Whether a holder with this key gets in now."""
        if not self.runs or self.open_key != key:
            return False
        if self.inside is None:
            self.inside = key
            self.watch("login", self, key)
        process, on_login = self.process, self.on_login
        if process is not None and on_login is not None:
            process.loop.call_soon(on_login)
        return True

    def out(self) -> None:
        """Whoever was in is out."""
        if self.inside is not None:
            key, self.inside, self.stubborn = self.inside, None, 0
            self.watch("out", self, key)

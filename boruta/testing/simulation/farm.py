"""A whole farm in virtual time: boards, users, an admin and a server, and what befalls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.directory import Rules
from boruta.closing import Closing
from boruta.domain.errors import InternalLogicError
from boruta.domain.types import ReqID, ReqState, WorkerState, WorkerUUID
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.faults import Faults, Weather
from boruta.testing.simulation.invariants import Invariants, Violation
from boruta.testing.simulation.lines import Machine
from boruta.testing.simulation.mischief import Mischief
from boruta.testing.simulation.network import Network
from boruta.testing.simulation.people import Admin, Told, User, Visit
from boruta.testing.simulation.servers import ServerHost
from boruta.testing.simulation.settle import Settle
from boruta.testing.simulation.world import Livelock, World

DAY_S = 86_400.0
_ROUND_S = 60.0  # how often the admin looks round, and everything is checked
_REPAIR_S = 400.0
ARCHS = ("armv7l", "riscv64", "x86_64")


@dataclass(frozen=True)
class Load:
    """How much is asked of the farm.

    Args:
        busy: the share of the boards that would be held without faults; 0: nobody comes unasked.
        hold_s: how long a board is needed on average.
    """

    busy: float = 0.7
    hold_s: float = 2400.0


@dataclass(slots=True)
class Summary:
    """What a run was."""

    seed: int | str
    virtual_s: float
    steps: int
    digest: str
    accepted: int
    jobs: int
    logins: int
    lives: int
    faults: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)


class Simulation(Closing):
    """One farm from one seed.

    Args:
        seed: the same seed gives the same run, step for step.
        workers: boards.
        faults: what goes wrong, and how often; nothing by default.
        load: how much is asked of the farm.
        trace: called with each line of the trace.

    Raises:
        Violation: by `run` and `settle`, if an invariant breaks.
    """

    def __init__(
        self,
        seed: int | str = 0,
        workers: int = 5,
        faults: Faults | None = None,
        load: Load | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        world = self.world = World(seed)
        world.trace = trace
        self.load = load or Load()
        self.weather = Weather(faults or Faults(), world.random.random)
        self.network = Network(world, self.weather)
        self.boards: dict[WorkerUUID, Board] = {}
        self.invariants = Invariants(world, self.boards)
        self.server = ServerHost(
            world, self.network, self.weather, Rules(), self.invariants, self.invariants.promises
        )
        for number in range(workers):
            board = Board(
                self.network, self.weather, number, self.caps(number), self.invariants.watch
            )
            self.boards[board.uuid] = board
        by_address = {board.address: board for board in self.boards.values()}
        self.logins = 0
        watch = self.invariants
        told = Told(
            self._accepted,
            self._refused,
            self._entered,
            lambda board, key: watch.doors.shut_out(board, key),
            watch.closed,
        )
        self.users = [
            User(self.network, self.weather, number, self.server, by_address, told)
            for number in range(2 + workers // 4)
        ]
        self.admin = Admin(self.network)
        watch.begin(self.server, {user.name: user for user in self.users})
        self.mischief = Mischief(self)
        self.wants_out: set[WorkerUUID] = set()  # boards that the admin keeps out of service
        self.failed_at: dict[WorkerUUID, float] = {}  # when the admin saw that
        self.calm = False
        world.quiet = self.invariants.quiet
        self._begin()

    @staticmethod
    def caps(number: int) -> dict[str, str]:
        """What a board has."""
        return {
            "arch": ARCHS[number % len(ARCHS)],
            "serial": "9600, 57600" if number % 2 else "115200",
            "voltage": f"{1 + number % 4}.5",
        }

    def _begin(self) -> None:
        world = self.world
        self.server.start()
        for machine in [*self.boards.values(), *self.users, self.admin]:
            world.later(2.0 * world.random.random(), machine.start)
        if self.load.busy > 0.0:
            world.later(5.0, self._arrive)
        world.later(5.0, self._round)
        self.mischief.begin()

    # --- what people do
    def _accepted(self, _: Machine, req_id: ReqID) -> None:
        self.invariants.accepted(req_id)

    def _refused(self, error: Exception) -> None:
        if isinstance(error, InternalLogicError):
            self.invariants.broken("0 no defect", f"a client is told of a defect: {error}")

    def _entered(self, board: Board, private: str) -> None:
        self.logins += 1
        self.invariants.doors.entered(board, private)

    def _arrive(self) -> None:
        if self.calm:
            return
        world, load = self.world, self.load
        a_second = load.busy * len(self.boards) / load.hold_s
        world.later(world.random.expovariate(a_second), self._arrive)
        users = [user for user in self.users if user.runs]
        if users:
            user = users[int(world.random.random() * len(users))]
            user.visit(self._wish())

    def _wish(self) -> Visit:
        random = self.world.random
        kinds: list[dict[str, str]] = [
            {},
            {"arch": random.choice(ARCHS)},
            {"arch": "armv7l|riscv64"},
            {"voltage": "2..4"},
            {"serial": "57600"},
            {"arch": "!=x86_64"},
            {"UUID": f"board-{int(random.random() * len(self.boards)):03}"},
        ]
        hold = random.expovariate(1.0 / self.load.hold_s) + 1.0
        return Visit(
            caps=random.choice(kinds),
            priority=1 + int(16 * random.random()),
            hold_s=hold,
            job_timeout_s=max(20.0, hold * (0.4 + 2.0 * random.random())),
            groups=("lab",) if random.random() < 0.1 else (),
            after_s=300.0 * random.random() if random.random() < 0.1 else 0.0,
            deadline_s=600.0 + 4.0 * self.load.hold_s * random.random(),
            bound=random.random() < 0.5,
            leaves=random.random() < 0.1,
        )

    def _round(self) -> None:
        self.world.later(_ROUND_S, self._round)
        self.invariants.look_again()
        if not self.admin.runs or not self.server.runs:
            return
        for board in self.server.store.workers():
            uuid = board.uuid
            if uuid in self.wants_out:
                continue
            if board.state in (WorkerState.FAIL, WorkerState.MAINTENANCE):
                failed = board.state is WorkerState.FAIL
                if failed and not self._repaired(uuid):
                    continue
                if failed and board.reason_code == "prepare":
                    self._restart_stuck(uuid)
                self.admin.does(self.admin.enable(uuid, failed))

    def _repaired(self, uuid: WorkerUUID) -> bool:
        """Whether somebody has gone to a failed board by now; that takes some minutes."""
        since = self.failed_at.setdefault(uuid, self.world.now)
        if not self.calm and self.world.now - since < _REPAIR_S:
            return False
        del self.failed_at[uuid]
        return True

    def _restart_stuck(self, uuid: WorkerUUID) -> None:
        """Somebody goes to the board and switches it off and on."""
        board = self.boards[uuid]
        if board.runs:
            board.kill()
            self.world.later(2.0, board.start)

    def lose_store(self) -> None:
        """The server's disk is gone."""
        self.server.lose_store()
        self.invariants.forget()

    # --- for a scenario of one's own
    def visit(self, wanted: Visit, user: int = 0) -> Visit:
        """One of the users asks for a board as soon as his client runs, holds it, and closes.

        Returns:
            `wanted`, for `state_of`.
        """
        client = self.users[user]

        def begin() -> None:
            if client.runs:
                client.visit(wanted)
            elif not self.calm:
                self.world.later(1.0, begin)

        begin()
        return wanted

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Calls `act` once the simulation is `seconds` old."""
        self.world.later(max(0.0, seconds - self.world.now), act)

    def state_of(self, wanted: Visit) -> ReqState | None:
        """The state of its request; None as long as none was accepted, or if the store was lost."""
        row = None if wanted.request is None else self.server.store.request(wanted.request)
        return None if row is None else row.state

    def board_state(self, uuid: str) -> WorkerState | None:
        """The state of a board; None before it has registered."""
        row = self.server.store.worker(WorkerUUID(uuid))
        return None if row is None else row.state

    # --- running
    def run(self, seconds: float = 0.0, *, hours: float = 0.0) -> None:
        """Lets time go on, for so many virtual seconds and hours together.

        Raises:
            Violation: an invariant broke.
        """
        try:
            self.world.run(self.world.now + seconds + 3600.0 * hours)
        except Livelock as error:
            raise Violation("6 rest", str(error)) from None
        self._check_defects()

    def settle(self) -> None:
        """Faults stop, nobody asks for anything more: everything comes to rest, nothing leaks.

        Raises:
            Violation: it does not, in bounded time.
        """
        Settle(self).run()
        self._check_defects()

    def close(self) -> None:
        """It is over: all that runs in it unwinds, and can be forgotten. Idempotent."""
        self.world.end()

    def _check_defects(self) -> None:
        processes: list[Any] = [self.server.process]
        processes += [one.process for one in [*self.boards.values(), *self.users, self.admin]]
        for process in processes:
            if process is not None and process.loop.defects:
                raise Violation("0 no defect", f"{process.name}: {process.loop.defects[0]}")

    def summary(self) -> Summary:
        """What has happened so far."""
        ended: dict[str, int] = {}
        for row in self.server.store.requests():
            word = row.reason_code or row.state.value
            ended[word] = ended.get(word, 0) + 1
        ledger = self.invariants.ledger
        return Summary(
            self.world.seed,
            self.world.now,
            self.world.steps,
            self.world.digest,
            ledger.accepted,
            len(ledger.by_key),
            self.logins,
            self.server.lives,
            dict(sorted(self.weather.counts.items())),
            dict(sorted(ended.items())),
        )

"""A workload on a farm of so many boards, by the real engine in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import Future, SimDispatcher
from actors.system import System
from boruta.domain.changes import Change, RequestChanged
from boruta.domain.request import Limits
from boruta.domain.requirements import parse_caps
from boruta.domain.statistics import Spread, spread
from boruta.domain.types import UUID_CAP, Caller, Capabilities, Groups, Role, WorkerState
from boruta.planning.workload import Asked, Workload
from boruta.store.memory import MemoryStore
from boruta.testing.access import FakeAccess
from boruta.testing.dryad import FakeDryad, Manner

PREPARE_S: Final = 10.0  # between two jobs on a board
PATIENCE_S: Final = 30 * 86_400.0  # after the last request: what has no board by then gets none
_ADMIN: Final = Caller("plan", Role.ADMIN)
_USERS: Final = 100  # one user may have no more than 10,000 live requests


class Kind(NamedTuple):
    """Boards that are alike, but for their UUIDs."""

    caps: Capabilities
    groups: Groups = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a workload.

    Attributes:
        boards: how many there were.
        waits_s: seconds that each request waited, in the order in which they came; None: no board.
        waits: their spread.
        never_served: how many got no board.
        most_waiting: how many waited at the same time, at most.
        held_share: which part of the boards' time was held, until the last job ended.
    """

    boards: int
    waits_s: tuple[float | None, ...]
    waits: Spread
    never_served: int
    most_waiting: int
    held_share: float


def simulate(
    workload: Workload, boards: Sequence[Kind], *, seed: int = 0, prepare_s: float = PREPARE_S
) -> Outcome:
    """Runs a workload; the same seed gives the same outcome."""
    return _Run(workload, boards, seed, prepare_s).outcome()


class _Run:
    def __init__(
        self, workload: Workload, boards: Sequence[Kind], seed: int, prepare_s: float
    ) -> None:
        self._asked = workload.asked
        self._boards = boards
        self._sim = SimDispatcher(seed)
        self._sim.watchdog.limit_s = math.inf  # there is nobody whom a slow turn holds up
        longest = max(asked.hold_s for asked in self._asked) + 60.0
        limits = Limits(max_job_timeout_s=max(longest, 86_400.0))
        rules = Rules(initial=WorkerState.IDLE, limits=limits)
        keys = iter(range(1 << 60))
        self._system = System(
            self._sim, MemoryStore(), FakeAccess(),
            lambda: (f"key {next(keys)}", "ssh-ed25519 plan"), lambda: 0.5, rules, "plan",
        )  # fmt: skip
        self._front = EngineFront(self._system)
        self._waits: list[float | None] = [None] * len(self._asked)
        self._left = len(self._asked)
        self._waiting = self._most_waiting = 0
        self._held_s = self._last_end = 0.0
        self._system.start(looks=False)
        self._front.feed(_ADMIN).subscribe(self._on_change, kinds=("assigned", "ended"))
        for number, kind in enumerate(boards, 1):
            self._add(number, kind, prepare_s)
        self._sim.advance(prepare_s + 1)
        self._began = self._sim.now()

    def _add(self, number: int, kind: Kind, prepare_s: float) -> None:
        uuid = f"board-{number:06}"
        dryad = FakeDryad(self._sim, {**kind.caps, UUID_CAP: uuid})
        dryad.manners["prepare"] = Manner(delay_s=prepare_s)
        registering = self._front.superviser(_ADMIN).register(dryad.registration(), dryad)
        self._sim.spawn(registering).get()
        if kind.groups:
            self._sim.spawn(self._front.workers(_ADMIN).set_groups(uuid, kind.groups)).get()

    def outcome(self) -> Outcome:
        """Lets all of it happen."""
        for number, asked in enumerate(self._asked):
            self._sim.call_later(asked.at, lambda n=number, a=asked: self._ask(n, a))  # type: ignore[misc]
        try:
            self._sim.run_until(lambda: not self._left, self._asked[-1].at + PATIENCE_S)
        except TimeoutError:
            pass  # nobody will ever have a board for them
        self._system.stop()
        served = [wait for wait in self._waits if wait is not None]
        ran = max(self._last_end - self._began, 1.0)
        share = min(1.0, self._held_s / (ran * len(self._boards))) if self._boards else 0.0
        return Outcome(
            len(self._boards), tuple(self._waits), spread(served),
            len(self._waits) - len(served), self._most_waiting, share,
        )  # fmt: skip

    def _ask(self, number: int, asked: Asked) -> None:
        self._waiting += 1
        self._most_waiting = max(self._most_waiting, self._waiting)
        caller = Caller(f"user{number % _USERS}", Role.USER)
        answer: Future = self._sim.spawn(
            self._front.requests(caller).new_request(
                asked.caps,
                asked.priority,
                valid_after=None,
                job_timeout=asked.hold_s + 60.0,
                note=str(number),
                unservable="wait",
            )
        )
        answer.when_done(lambda done: done.get(timeout=0))

    def _on_change(self, change: Change) -> None:
        assert isinstance(change, RequestChanged)
        number, now = int(change.request.note), self._sim.now()
        if change.kind == "ended":
            if self._waits[number] is None:
                self._waiting -= 1  # its deadline has passed
                self._left -= 1
            return
        asked = self._asked[number]
        self._waits[number] = round(now - self._began - asked.at, 3)
        self._waiting -= 1
        self._left -= 1
        self._held_s += asked.hold_s
        self._last_end = max(self._last_end, now + asked.hold_s)
        closing = self._front.requests(_ADMIN).close_request
        self._sim.call_later(asked.hold_s, lambda: self._sim.spawn(closing(change.request.id)))


def wanted_most(workload: Workload, outcome: Outcome, boards: Sequence[Kind]) -> Kind | None:
    """The kind of board that would have shortened most waiting; None if nobody waited."""
    waited: dict[tuple[Capabilities, Groups], float] = {}
    for asked, wait in zip(workload.asked, outcome.waits_s, strict=True):
        kind = (asked.caps, asked.groups)
        waited[kind] = waited.get(kind, 0.0) + (PATIENCE_S if wait is None else wait)
    caps, groups = max(waited, key=waited.__getitem__)
    if not waited[caps, groups]:
        return None
    wanted = parse_caps(caps)
    for board in boards:
        if wanted.fits(board.caps) and (not groups or not set(groups).isdisjoint(board.groups)):
            return board
    return None

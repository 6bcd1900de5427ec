"""Whether matching is just: nobody waits beside an idle board, nobody is served out of turn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from boruta.domain.requirements import Requirements, parse_caps
from boruta.domain.rows import RequestRow, WorkerRow
from boruta.domain.types import Capabilities, Groups, ReqID, ReqState, WorkerState, WorkerUUID
from boruta.store.memory import MemoryStore
from boruta.testing.simulation.engine import BLUR_S
from boruta.testing.simulation.servers import ServerHost
from boruta.testing.simulation.world import World

# A board is matched after 5 s online, a lost offer is found by the second sweep; a board whose
# tunnel could not be opened waits up to 60 s, and is not counted meanwhile.
IDLE_BESIDE_S: Final = 30.0
_UNKNOWN: Final = float("inf")


class Queue:
    """The waiting requests and the idle boards, as the store has them."""

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self.waiting: dict[ReqID, tuple[RequestRow, float]] = {}  # and when it is ready
        self.idle: dict[WorkerUUID, WorkerRow] = {}
        self._pairs: list[tuple[ReqID, WorkerUUID]] = []  # of those that fit each other
        self._changed = False
        self._beside: dict[tuple[ReqID, WorkerUUID], float] = {}
        self._parsed: dict[Capabilities, Requirements] = {}
        self._kinds: dict[tuple[Capabilities, Groups], int] = {}  # those that fit alike
        self._fits: dict[tuple[int, int], bool] = {}
        self._up_since = 0.0
        self.jumped = False

    def request(self, row: RequestRow, now: datetime) -> None:
        """A request was written."""
        self._changed = True
        if row.state is not ReqState.WAIT:
            self.waiting.pop(row.id, None)
            return
        wait = max(0.0, (row.valid_after - max(now, row.created)).total_seconds())
        ready_at = _UNKNOWN if wait and self.jumped else self._world.now + wait
        self.waiting[row.id] = row, ready_at

    def clock_jumped(self) -> None:
        """When requests that are not valid yet become so cannot be told from now on."""
        self.jumped = True
        for req_id, (row, ready_at) in tuple(self.waiting.items()):
            if ready_at > self._world.now:
                self.waiting[req_id] = row, _UNKNOWN

    def worker(self, row: WorkerRow) -> None:
        """A worker was written."""
        self._changed = True
        if row.state is WorkerState.IDLE and row.prepared_key:
            self.idle[row.uuid] = row
        else:
            self.idle.pop(row.uuid, None)

    def forget(self) -> None:
        """The store was lost."""
        self._changed = True
        self.waiting.clear()
        self.idle.clear()
        self._beside.clear()

    def rolled_back(self, store: MemoryStore, now: datetime) -> None:
        """The server died: only what was written counts."""
        known = dict(self.waiting)
        self.forget()
        for row in store.requests():
            self.request(row, now)
            if row.id in known and row.id in self.waiting:
                self.waiting[row.id] = row, known[row.id][1]
        for board in store.workers():
            self.worker(board)

    def fits(self, request: RequestRow, board: WorkerRow) -> bool:
        """Whether the board may serve the request."""
        key = self._kind(request.caps, request.owner_groups), self._kind(board.caps, board.groups)
        found = self._fits.get(key)
        if found is None:
            found = self._fits[key] = self._computed(request, board)
        return found

    def _kind(self, caps: Capabilities, groups: Groups) -> int:
        return self._kinds.setdefault((caps, groups), len(self._kinds))

    def _computed(self, request: RequestRow, board: WorkerRow) -> bool:
        if request.owner_groups and set(request.owner_groups).isdisjoint(board.groups):
            return False
        parsed = self._parsed.get(request.caps)
        if parsed is None:
            parsed = self._parsed[request.caps] = parse_caps(request.caps)
        return all(part.fits(board.caps.get(part.key)) for part in parsed.parts)

    # --- checks
    def check_order(self, server: ServerHost, req_id: ReqID, uuid: WorkerUUID) -> None:
        """Of those that were ready before this moment, nobody further ahead fits the board."""
        if not self.waiting:
            return
        store = server.store
        claimed, board = store.request(req_id), store.worker(uuid)
        if claimed is None or board is None:
            return
        place = (claimed.priority, claimed.queue_seq)
        blur = BLUR_S if server.weather.faults.turn_late else 0.0
        # Where turns come late, one that is further ahead may have been offered another board.
        offered = server.system.offered if blur else ()
        for row, ready_at in self.waiting.values():
            ahead = (row.priority, row.queue_seq) < place and ready_at < self._world.now - blur
            if not ahead or row.id in offered:
                continue
            if self.fits(row, board) and not self._early(server, row):
                self._broken(
                    "4 order",
                    f"{uuid} is given to request {req_id} (priority {place[0]}) while request "
                    f"{row.id} (priority {row.priority}) waits, fits, and is ahead",
                )

    def check_idle(self, server: ServerHost) -> None:
        """No request that is ready stays beside an idle board that fits it."""
        if server.well_since != self._up_since:
            self._up_since = server.well_since
            self._beside.clear()
        if self._changed:
            self._pair()
        if not self._pairs:
            self._beside.clear()
            return
        now, presence, beside = self._world.now, server.system.directory.presence, self._beside
        found: dict[tuple[ReqID, WorkerUUID], float] = {}
        full = server.tunnels_full
        for pair in self._pairs:
            there = presence.get(pair[1])
            if full or there is None or not there.online or self.waiting[pair[0]][1] > now:
                continue
            if self.jumped and self._early(server, self.waiting[pair[0]][0]):
                continue
            since = found[pair] = beside.get(pair, now)
            if now - since > IDLE_BESIDE_S:
                self._broken(
                    "3 nobody waits in vain",
                    f"request {pair[0]} waits beside {pair[1]}, which is idle and fits, "
                    f"for {now - since:.0f} s",
                )
        self._beside = found

    def _early(self, server: ServerHost, row: RequestRow) -> bool:
        """Its date, which was here already, is not here yet since the clock was set back."""
        return self.jumped and row.valid_after > server.dispatcher.utcnow()

    def _pair(self) -> None:
        self._changed = False
        if not self.idle or not self.waiting:
            self._pairs = []
            return
        boards = [
            (uuid, board, self._kind(board.caps, board.groups)) for uuid, board in self.idle.items()
        ]
        self._pairs, known = [], self._fits
        for req_id, (row, _) in self.waiting.items():
            kind = self._kind(row.caps, row.owner_groups)
            for uuid, board, other in boards:
                fits = known.get((kind, other))
                if self.fits(row, board) if fits is None else fits:
                    self._pairs.append((req_id, uuid))

"""Who was away, and whether he was judged by silence alone, and by enough of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from boruta.domain import defaults
from boruta.domain.rows import RequestRow, WorkerRow
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.ledger import Job
from boruta.testing.simulation.lines import Machine
from boruta.testing.simulation.servers import ServerHost
from boruta.testing.simulation.world import World

GIVEN_UP_S: Final = 200.0  # whoever was away is back for longer than any grace lasts
NOTICED_S: Final = 36.0  # 15 s after the last frame, which may be under way for 20 s
FREED_S: Final = 100.0  # what a vanished client held, also after a start
_MOMENT_S: Final = 0.01


class Absence:
    """The watch over what the server concludes from silence."""

    def __init__(
        self,
        world: World,
        server: ServerHost,
        people: Mapping[str, Machine],
        broken: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._server = server
        self._people = people
        self._broken = broken

    def given_up(self, row: RequestRow, board: Board | None) -> None:
        """A request ends because its board or client is lost: it was, and for long enough."""
        lost_board = row.reason_code == "board_lost" and board is not None
        machine: Machine = board if lost_board and board else self._people[row.owner_name]
        ran = self._world.now - self._server.stood_until
        by_silence = not lost_board or "out of reach" in row.reason
        if board is not None and board.uuid in self._server.lost_at_start:
            by_silence = False  # an earlier life has judged the board, and died before the rest
        least = defaults.WORKER_GRACE_S if lost_board else defaults.CLIENT_LEASE_S
        if by_silence and ran < least - 1.0:
            self._broken(
                "5 job time",
                f"request {row.id} ends with {row.reason_code}, {ran:.1f} s after the server "
                f"itself stood still or started; {least:g} s of silence are needed",
            )
        cable = machine.cable
        if not (machine.runs and cable.up and cable.down):
            return
        changed = (machine.runs_since, cable.changed_at, self._server.well_since)
        if self._world.now - max(changed) > GIVEN_UP_S:
            self._broken(
                "5 job time",
                f"request {row.id} ends with {row.reason_code}, though {machine.name} was there",
            )

    def failed(self, row: RequestRow, job: Job, board: Board) -> None:
        """A job ends because its board failed: something did fail."""
        since = (board.runs_since, board.cable.changed_at, self._server.well_since)
        if max(since) < job.since - FREED_S and board.troubled_at < job.since - FREED_S:
            self._broken(
                "5 job time",
                f"request {row.id} ends with {row.reason_code} ({row.reason}), though nothing has "
                f"happened to {board.uuid}",
            )

    def prolonged(self, job: Job, board: Board) -> None:
        """A job got a later end: its agent can be told of it."""
        cable, now = board.cable, self._world.now
        silent = not (cable.up and cable.down) and now - cable.changed_at > NOTICED_S
        if silent and now - self._server.well_since > NOTICED_S:
            self._broken(
                "5 job time",
                f"request {job.row.request_id} is prolonged while {board.uuid} is out of reach",
            )

    def claimed(self, row: RequestRow, worker: WorkerRow, board: Board) -> None:
        """A board is lent: it is there, for a while already, and so are those that were known."""
        server, now = self._server, self._world.now
        presence = server.system.directory.presence
        what = f"{board.uuid} is given to request {row.id}"
        there = presence.get(worker.uuid)
        if there is None or not there.online:
            self._broken("3 nobody waits in vain", f"{what} while it is out of reach")
        if now - server.started_at < defaults.START_HOLD_S - _MOMENT_S:
            back = {uuid for uuid, one in presence.items() if one.online}
            if server.known_at_start - back:
                self._broken("4 order", f"{what} before the known boards could come back")
        new = board.lives > 1 and now - board.booted_at < defaults.SETTLED_AFTER_S - _MOMENT_S
        calm = now - max(board.cable.changed_at, server.well_since)
        if new and calm > GIVEN_UP_S and server.knew(worker.uuid):
            self._broken(
                "3 nobody waits in vain",
                f"{what} {now - board.booted_at:.1f} s after its agent started again",
            )

    def bound(self, row: RequestRow) -> None:
        """A bound request is not kept for a client that is long gone."""
        owner = self._people.get(row.owner_name)
        if owner is None or not row.bound or row.token is None:
            return
        life = int(row.token.split("-")[2])
        if life == owner.lives:
            return
        since = max(owner.booted_at, self._server.well_since)
        if self._world.now - since > FREED_S:
            self._broken("6 rest", f"request {row.id} outlives the client that it is bound to")

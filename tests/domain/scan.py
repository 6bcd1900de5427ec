"""Matching as it is meant, by looking at everything: what the index is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from boruta.domain.requirements import Requirement, parse_caps
from boruta.domain.types import UUID_CAP, Capabilities


@dataclass
class Waiting:
    """A request."""

    place: tuple[int, int, int]
    caps: Capabilities
    groups: tuple[str, ...]
    ready: bool = True

    @property
    def parts(self) -> tuple[Requirement, ...]:
        return parse_caps(self.caps, lenient=True).parts


@dataclass
class Board:
    """A worker; its caps have the UUID."""

    caps: Capabilities
    groups: tuple[str, ...]
    idle: bool = False
    failed: bool = False


class Scan:
    """The naive model."""

    def __init__(self) -> None:
        self.requests: dict[int, Waiting] = {}
        self.boards: dict[str, Board] = {}

    def known(self, uuid: str, caps: Capabilities, groups: tuple[str, ...]) -> None:
        old = self.boards.get(uuid, Board(caps, groups))
        full = Capabilities({**caps, UUID_CAP: uuid})
        self.boards[uuid] = Board(full, groups, old.idle, old.failed)

    def fits(self, request: Waiting, board: Board, but_uuid: bool = False) -> bool:
        """`but_uuid` leaves out refusals by UUID."""
        if request.groups and set(request.groups).isdisjoint(board.groups):
            return False
        return all(
            part.fits(board.caps.get(part.key))
            for part in request.parts
            if not (but_uuid and part.key == UUID_CAP and part.text.startswith("!="))
        )

    def queue(self) -> list[tuple[int, Waiting]]:
        ready = [(id_, one) for id_, one in self.requests.items() if one.ready]
        return sorted(ready, key=lambda pair: pair[1].place)

    def matches(self) -> list[tuple[int, str]]:
        """Every pair that can be made now, in order; nothing is changed."""
        idle = {uuid: board for uuid, board in self.boards.items() if board.idle}
        found = []
        for id_, request in self.queue():
            fitting = [
                (len(board.caps) + len(board.groups), board.failed, uuid)
                for uuid, board in idle.items()
                if self.fits(request, board)
            ]
            if fitting:
                uuid = min(fitting)[2]
                del idle[uuid]
                found.append((id_, uuid))
        return found

    def take(self, pairs: list[tuple[int, str]]) -> None:
        for id_, uuid in pairs:
            self.requests[id_].ready = False
            self.boards[uuid].idle = False

    def fitting(self, request: Waiting) -> list[str]:
        return sorted(uuid for uuid, board in self.boards.items() if self.fits(request, board))

    def unmet(self, request: Waiting) -> list[str]:
        missing = [
            part.word
            for part in request.parts
            if not any(part.fits(board.caps.get(part.key)) for board in self.boards.values())
        ]
        if request.groups and not any(
            set(request.groups) & set(board.groups) for board in self.boards.values()
        ):
            missing.append(f"group {' or '.join(request.groups)}")
        return missing

    def position(self, id_: int) -> int:
        """One more than the ready requests ahead that could take one of its boards."""
        mine = self.requests[id_]

        def rival(other: Waiting) -> bool:
            if (other.caps, other.groups) == (mine.caps, mine.groups):
                return True
            return any(
                self.fits(mine, board, True) and self.fits(other, board, True)
                for board in self.boards.values()
            )

        ahead = [one for _, one in self.queue() if one.place < mine.place and rival(one)]
        return 1 + len(ahead)

"""What a power loss leaves of files: what was synced, and anything of what was written since."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.crash.recording import DELETE, SYNC, TRUNCATE, WRITE, Op

SECTOR: Final = 512  # a disk writes it whole or not at all


@dataclass(slots=True)
class Disk:
    """Files as they are on the disk, and what was asked of them since each one's last sync."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    since: dict[str, list[Op]] = field(default_factory=dict)

    def do(self, op: Op) -> None:
        """The next operation."""
        if op.what == SYNC:
            for one in self.since.pop(op.name, []):
                _apply(self.synced, one)
        elif op.what == DELETE:
            # What is deleted may be back after a power loss, and is then without a meaning.
            self.since.pop(op.name, None)
            self.synced.pop(op.name, None)
        else:
            self.since.setdefault(op.name, []).append(op)

    def after_power_loss(self, chance: random.Random, share: float) -> Mapping[str, bytes]:
        """The files that are found; of what was not synced, so many sectors, whichever."""
        files = {name: bytearray(data) for name, data in self.synced.items()}
        for ops in self.since.values():
            for op in ops:
                for piece in _sectors(op):
                    if chance.random() < share:
                        _apply(files, piece)
        return files


def _sectors(op: Op) -> Iterable[Op]:
    if op.what != WRITE:
        return [op]
    found, at, end = [], op.offset, op.offset + len(op.data)
    while at < end:
        next_at = min(end, (at // SECTOR + 1) * SECTOR)
        piece = op.data[at - op.offset : next_at - op.offset]
        found.append(op._replace(offset=at, data=piece))
        at = next_at
    return found


def _apply(files: dict[str, bytearray], op: Op) -> None:
    file = files.setdefault(op.name, bytearray())
    if op.what == TRUNCATE:
        del file[op.offset :]
        return
    end = op.offset + len(op.data)
    if len(file) < end:
        file.extend(bytes(end - len(file)))
    file[op.offset : end] = op.data

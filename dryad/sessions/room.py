"""The disk that a holder takes: what was free when he came, and what is free now.

Not a sum over his files: files that are deleted and still open have no name to be found by, and a
walk through millions of them would take a small board minutes. So what others write meanwhile
counts too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dryad.sessions.limits import KEPT_DISK

LOOK_EVERY_S: Final = 5.0  # a card takes 100 MB in it, of the 256 that are kept
SMALL: Final = 20  # of a small file system this part is kept
NOISE: Final = 16 << 20  # bytes; a disk that was full before he came is not his doing


class Room:
    """The file systems of some places.

    Args:
        places: where holders may write; those that do not exist are left out.
        most: bytes that a holder may take of each; 0: all but what is to be kept.
    """

    def __init__(
        self,
        places: Sequence[Path],
        most: int = 0,
        look: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._places = places
        self._most = most
        self._look = look
        self._free: dict[Path, int] = {}

    def remember(self) -> None:
        """A holder comes: what is free now is what he finds."""
        self._free = {}
        for place in self._places:
            with contextlib.suppress(OSError):  # there is no such place on this board
                self._free[place] = _free(self._look(place))

    def taken_too_much(self) -> str:
        """What he has taken if it is too much, for people; else nothing."""
        for place, before in self._free.items():
            try:
                found = self._look(place)
            except OSError:
                continue
            kept = min(KEPT_DISK, found.f_blocks * found.f_frsize // SMALL)
            taken, most = before - _free(found), self._most or max(before - kept, NOISE)
            if taken > most:
                return f"{taken >> 20} MiB of the disk below {place} (allowed: {most >> 20})"
        return ""


def _free(found: os.statvfs_result) -> int:
    return found.f_bavail * found.f_frsize

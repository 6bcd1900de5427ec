"""Places of simulated boards in a server's DATA, so that a restarted simulation takes them up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from boruta.domain.errors import Busy
from boruta.guarded import make_private_dir
from dryad.running import DirectoryLock


class Slot:
    """One board's directory, locked while this process lives."""

    def __init__(self, number: int, path: Path, lock: DirectoryLock) -> None:
        self.number = number
        self.path = path
        self._lock = lock

    @property
    def name(self) -> str:
        """What the board is called."""
        return f"board-{self.number}"

    def is_enabled(self, caps: Mapping[str, str]) -> bool:
        """It was enabled once with these capabilities: what an admin did since then stands."""
        try:
            return bool(json.loads((self.path / "enabled").read_text()) == dict(caps))
        except (OSError, ValueError):
            return False

    def set_enabled(self, caps: Mapping[str, str]) -> None:
        """It is enabled with these capabilities now."""
        (self.path / "enabled").write_text(json.dumps(dict(caps)))

    def release(self) -> None:
        """Another process may take it."""
        self._lock.release()


def tools(data: Path) -> Path:
    """Where all boards of a DATA have the `board` command for their holders."""
    return data / "simulated" / "tools"


def take(data: Path, count: int) -> list[Slot]:
    """The first `count` free slots of a DATA.

    Raises:
        BadConfig, NotPermitted: DATA cannot be used for it.
    """
    home = data / "simulated"
    make_private_dir(home, "directory of simulated boards")
    slots: list[Slot] = []
    number = 0
    try:
        while len(slots) < count:
            number += 1
            path = home / str(number)
            make_private_dir(path, "simulated board's directory")
            try:
                slots.append(Slot(number, path, DirectoryLock(path)))
            except Busy:
                continue  # another simulation's
    except BaseException:
        for slot in slots:
            slot.release()
        raise
    return slots

"""How much of the board a holder of a system session may take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

KEPT_MEMORY: Final = 96 << 20  # bytes that a holder leaves to the agent and the system
KEPT_DISK: Final = 256 << 20  # the same of a file system, or a twentieth of a small one
QUEUES: Final = "/dev/mqueue"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a holder may take of the board.

    Attributes:
        processes: the most that live at once.
        files: the most that one of them has open.
        memory: bytes of all together; 0 takes what the machine has, less what the agent needs.
        file: bytes of the largest file that one of them may write.
        disk: bytes that he may take of each file system; 0 takes all but `KEPT_DISK`.
    """

    processes: int = 1024
    files: int = 4096
    memory: int = 0
    file: int = 4 << 30
    disk: int = 0

    def of_a_process(self) -> Mapping[str, int]:
        """By their names for prlimit(1)."""
        found = {"nproc": self.processes, "nofile": self.files, "fsize": self.file}
        # POSIX message queues outlive their maker; where they cannot be seen none may be made.
        return found if os.path.ismount(QUEUES) else {**found, "msgqueue": 0}

    def bytes(self) -> int:
        """The memory in bytes."""
        if self.memory:
            return self.memory
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total - max(KEPT_MEMORY, total // 5)

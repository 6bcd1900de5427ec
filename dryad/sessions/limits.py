"""How much of the board a holder of a system session may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

KEPT_MEMORY: Final = 96 << 20  # bytes that a holder leaves to the agent and the system


@dataclass(frozen=True, slots=True)
class Limits:
    """What a holder may take of the board.

    Attributes:
        processes: the most that live at once.
        files: the most that one of them has open.
        memory: bytes of all together; 0 takes what the machine has, less what the agent needs.
    """

    processes: int = 1024
    files: int = 4096
    memory: int = 0

    def bytes(self) -> int:
        """The memory in bytes."""
        if self.memory:
            return self.memory
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total - max(KEPT_MEMORY, total // 5)

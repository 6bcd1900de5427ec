"""How much a run measures: all of it, a rough figure, or as little as shows that it works."""

from __future__ import annotations

import enum
from typing import TypeVar

T = TypeVar("T")


class Scale(enum.Enum):
    """The size of a run."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"  # for tests: the figures mean nothing

    def pick(self, full: T, quick: T, tiny: T) -> T:
        """The one of three that belongs to this size."""
        return {Scale.FULL: full, Scale.QUICK: quick, Scale.TINY: tiny}[self]

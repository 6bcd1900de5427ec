"""How long boards are really held, so that a wait can be estimated from more than job times."""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

KEPT: Final = 50  # the latest holds of each kind; older ones tell little of today's use
KINDS: Final = 256  # kinds that are remembered; then the one that was held longest ago goes
ENOUGH: Final = 5  # fewer tell nothing


class Holds:
    """The latest hold times of each kind of request, and of all together."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Hashable, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=KEPT)

    def add(self, kind: Hashable, seconds: float) -> None:
        """A board was held so long by a request of this kind."""
        held = self._kinds.pop(kind, None)
        if held is None:
            held = deque(maxlen=KEPT)
            if len(self._kinds) >= KINDS:
                self._kinds.popitem(last=False)
        self._kinds[kind] = held
        held.append(seconds)
        self._all.append(seconds)

    def typical(self, kind: Hashable) -> float | None:
        """The median of this kind, else of all; None while too little was seen."""
        for held in (self._kinds.get(kind), self._all):
            if held is not None and len(held) >= ENOUGH:
                return statistics.median(held)
        return None

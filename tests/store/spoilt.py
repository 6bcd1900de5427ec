"""Databases that die, or wait, when a test says so."""

from __future__ import annotations

import threading
from typing import Any

from boruta.domain.errors import StoreUnavailable
from boruta.store.database import SqlBackend
from tests.store.kit import WITHIN_S


class Cut:
    """A database whose server dies at its n-th batch: before the commit, or just after it."""

    def __init__(self, below: SqlBackend, batch: int, *, after: bool) -> None:
        self._below, self._left, self._after = below, batch, after
        self.name = below.name
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def apply(self, batch: Any, first_position: int, leader_epoch: int) -> None:
        """Commits, or dies."""
        self._left -= 1
        if self._left == 0 and not self.dead and self._after:
            self._below.apply(batch, first_position, leader_epoch)
        self.dead = self.dead or self._left <= 0
        if self.dead:
            raise StoreUnavailable("the server is dead")
        self._below.apply(batch, first_position, leader_epoch)


class Held:
    """A database whose first batch waits until the test lets it: the second has all the others."""

    def __init__(self, below: SqlBackend) -> None:
        self._below = below
        self.gate = threading.Event()
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def apply(self, batch: Any, first_position: int, leader_epoch: int) -> None:
        """Commits when the gate is open."""
        assert self.gate.wait(WITHIN_S)
        self.batches.append(len(batch))
        self._below.apply(batch, first_position, leader_epoch)

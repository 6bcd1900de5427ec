"""Who runs on a dispatcher; unlike Pykka's list it forgets in constant time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pykka

if TYPE_CHECKING:
    from actors.runtime.actor import LoopActor


class Registry:
    """The actors of one dispatcher in the order of their start. It keeps them alive."""

    __slots__ = ("_actors",)

    def __init__(self) -> None:
        self._actors: dict[LoopActor, None] = {}

    def __len__(self) -> int:
        return len(self._actors)

    def __contains__(self, actor: object) -> bool:
        return actor in self._actors

    def __iter__(self) -> Iterator[LoopActor]:
        """A snapshot, oldest first."""
        return iter(tuple(self._actors))

    def add(self, actor: LoopActor) -> None:
        """The actor starts."""
        self._actors[actor] = None

    def discard(self, actor: LoopActor) -> None:
        """The actor is gone; forgetting it twice does nothing."""
        self._actors.pop(actor, None)

    def get_by_urn(self, urn: str) -> pykka.ActorRef[Any] | None:
        """The ref of a running actor; looks at all, and gives each a name that had none."""
        return next((one.actor_ref for one in self if one.actor_urn == urn), None)


def leave_pykka(ref: pykka.ActorRef[Any]) -> None:
    """Takes a ref out of `pykka.ActorRegistry`, looking from the end of its list.

    Actors stop newest first. Pykka's own way looks from the front: the end of 10,000 actors took
    minutes.
    """
    with pykka.ActorRegistry._actor_refs_lock:
        refs = pykka.ActorRegistry._actor_refs
        for at in range(len(refs) - 1, -1, -1):
            if refs[at] is ref:
                del refs[at]
                return

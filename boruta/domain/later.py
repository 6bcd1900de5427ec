"""A field that is worked out when somebody looks at it first: most of a long list is never read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Later:
    """Stands in a field's place until the first look.

    Whatever it needs must not change any more: the look may come at any time, from any thread, and
    from two at once.
    """

    __slots__ = ()

    def told_of(self, row: Any) -> Later:
        """What takes its place once the row is known from which all other fields come."""
        return self

    def of(self, owner: Any) -> Any:
        """The value of `owner`'s field."""
        raise NotImplementedError


class AtFirstLook:
    """A slot that gives the value where a `Later` was put in, and keeps it.

    Args:
        slot: the descriptor that `__slots__` made.
    """

    def __init__(self, slot: Any) -> None:
        self.seen: Callable[..., Any] = slot.__get__  # what stands in it, without a look
        self._set: Callable[[Any, Any], None] = slot.__set__

    def __get__(self, owner: Any, kind: type[Any] | None = None) -> Any:
        if owner is None:
            return self
        found = self.seen(owner)
        if isinstance(found, Later):
            found = found.of(owner)
            self._set(owner, found)
        return found

    def __set__(self, owner: Any, value: Any) -> None:
        self._set(owner, value)

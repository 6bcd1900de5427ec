"""The stopped flag of an actor, small enough to have 100,000 of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pykka

from actors.runtime.future import Future, settling

if TYPE_CHECKING:
    from actors.runtime.dispatcher import Dispatcher


class Flag(threading.Event):
    """A `threading.Event` without a lock of its own (1,184 bytes): it waits through a future.

    Waiting is refused on a dispatcher's thread; a simulation is pumped meanwhile.

    Args:
        dispatcher: the simulation that has to run while somebody waits, if there is one.
    """

    __slots__ = ("_dispatcher", "_flag", "_reached")

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        # Event's own fields are left out; every method that uses them is below.
        self._dispatcher = dispatcher
        self._flag = False
        self._reached: Future | None = None

    def __repr__(self) -> str:
        return f"<Flag {'set' if self._flag else 'unset'}>"

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._flag

    isSet = is_set  # Event's old name for it

    def set(self) -> None:
        """Sets it and wakes whoever waits."""
        self._flag = True
        reached, self._reached = self._reached, None
        if reached is not None:
            reached.answer(True)

    def clear(self) -> None:
        """Unsets it."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until it is set; False after `timeout` seconds.

        Raises:
            WouldBlock: on a dispatcher's own thread.
        """
        if self._flag:
            return True
        with settling:
            reached = self._reached
            if reached is None:
                reached = self._reached = Future(self._dispatcher)
        if self.is_set():  # set() came in between and may not have seen the future
            return True
        try:
            reached.get(timeout=timeout)
        except pykka.Timeout:
            return self._flag
        return True

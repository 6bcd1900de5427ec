"""How a future gets its value when somebody asks for it: hooks, and futures made of others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pykka

from actors.runtime.errors import NeverSet, WouldBlock

log = logging.getLogger("boruta.runtime")


class Hook:
    """What computes the value of a future, once.

    Attributes:
        compute: takes the time-out that is left, in seconds.
        needs: the futures it reads; None if that is not known.
        lock: held while it computes.
    """

    __slots__ = ("compute", "lock", "needs")

    def __init__(
        self,
        compute: Callable[[float | None], Any],
        needs: tuple[pykka.Future[Any], ...] | None = None,
    ) -> None:
        self.compute = compute
        self.needs = needs
        self.lock = threading.Lock()

    def wait_for_needs(self, timeout: float | None, now: Callable[[], float]) -> None:
        """Blocks until all that it needs has an answer.

        Raises:
            pykka.Timeout: the time-out counts for all together, not for each as in Pykka.
        """
        began = now()
        for need in self.needs or ():
            left = None if timeout is None else max(0.0, timeout - (now() - began))
            try:
                need.get(timeout=left)
            except pykka.Timeout:
                if not getattr(need, "done", False):
                    raise
            except (WouldBlock, NeverSet):
                raise
            except Exception:
                log.debug("a future that another one needs has an error")


def is_alive_answer(answer: pykka.Future[Any]) -> bool:
    """What `ActorRef.stop` says, out of the answer to its message."""
    try:
        answer.get()
    except pykka.ActorDeadError:
        return False
    return True

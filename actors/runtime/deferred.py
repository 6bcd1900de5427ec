"""An answer that comes later."""

from __future__ import annotations

from typing import Any

import pykka


class Deferred:
    """What a handler returns so that its asker gets the answer of `future` when that comes.

    Returning the future itself would answer with the future, as in Pykka. If the actor stops before
    it has set a future that it made itself, the asker gets ActorDeadError. A future of another
    runtime is waited for in a thread.
    """

    __slots__ = ("future",)

    def __init__(self, future: pykka.Future[Any]) -> None:
        self.future = future

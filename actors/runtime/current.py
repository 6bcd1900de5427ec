"""Which dispatcher this thread is working for, and whether this thread may block."""

from __future__ import annotations

import asyncio
import threading
import weakref
from threading import get_ident
from typing import TYPE_CHECKING, Any

from actors.runtime.errors import WouldBlock

if TYPE_CHECKING:
    from actors.runtime.dispatcher import Dispatcher

running_loop = asyncio._get_running_loop


class _Current(threading.local):
    """What one thread is doing.

    Attributes:
        dispatcher: where an actor class without a dispatcher of its own starts now.
        turn: whose turn is running.
    """

    dispatcher: Dispatcher | None = None
    turn: Dispatcher | None = None


current = _Current()
# Loops that carry a dispatcher: blocking one stops all its actors.
guarded: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


class ForeignLoop:
    """Says of a loop that hides its thread what asyncio's own says of itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if running_loop() is self._loop else None


def thread_of(loop: asyncio.AbstractEventLoop) -> Any:
    """What has `_thread_id`: the thread that runs the loop now, or None.

    `asyncio.get_running_loop()` makes a system call each time (up to Python 3.11), which was half
    the cost of a tell.
    """
    return loop if hasattr(loop, "_thread_id") else ForeignLoop(loop)


def runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this thread runs the loop now."""
    try:
        return bool(loop._thread_id == get_ident())  # type: ignore[attr-defined]
    except AttributeError:
        return running_loop() is loop


def may_block() -> bool:
    """Whether this thread runs no dispatcher."""
    if current.turn is not None:
        return False
    loop = running_loop()
    return loop is None or loop not in guarded


def refuse_blocking(what: str) -> None:
    """Checks that this thread may wait.

    Args:
        what: the call, for the message: "get()", "ask() of X".

    Raises:
        WouldBlock: it runs a dispatcher.
    """
    if may_block():
        return
    turn = current.turn
    who = turn.who_runs() if turn is not None else None
    by = f" in {who}" if who else ""
    raise WouldBlock(
        f"{what}{by} would block the dispatcher's own thread, where the answer has to be made. "
        "Await the future; in an actor, use tell() and let the answer come as a message, "
        "or return Deferred(future). From another thread it may block."
    )

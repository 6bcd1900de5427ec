"""What the runtime refuses, and why."""

from __future__ import annotations


class WouldBlock(RuntimeError):
    """A blocking call on a dispatcher's own thread.

    The caller's fault: nothing could run on that thread while it waits, the answer included.
    Nothing was sent. Await the future outside actors; inside one, tell, and let the answer come
    back as a message, or return `Deferred(future)`.
    """


class NeverSet(RuntimeError):
    """The simulation was asked to wait for something that nothing left to run can bring."""


class DispatcherStopped(RuntimeError):
    """An actor was started on a dispatcher after `stop_all`."""

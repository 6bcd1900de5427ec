"""News for one peer: what does not go out at once waits in a bounded queue, then a gap says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from boruta.domain.changes import Change, Gap
from boruta.domain.errors import BorutaError
from boruta.domain.ports import Feed, Subscription
from transport.codec import Notice, encode
from transport.maps import change_map

# Changes, not frames: the feed keeps as many itself, so a slow peer costs pointers.
QUEUE: Final = 10_000
LOST: Final = "-"  # no seq of any feed's: it answers with a gap


class Frames:
    """The frame of a change, made once for all who get it."""

    def __init__(self) -> None:
        self._of: Change | None = None
        self._frame = b""

    def get(self, change: Change) -> bytes | None:
        """The frame; None if the change cannot be sent."""
        if self._of is not change:
            kind, body = change_map(change)
            try:
                self._frame = encode(Notice(kind, body))
            except BorutaError:
                return None
            self._of = change
        return self._frame


class Watching:
    """What one peer has subscribed to.

    Args:
        feed: the changes that its key may see.
        frames: shared by all.
        try_send: sends if there is room; whether it did.
    """

    def __init__(self, feed: Feed, frames: Frames, try_send: Callable[[bytes], bool]) -> None:
        self._feed = feed
        self._frames = frames
        self._try_send = try_send
        self._subscription: Subscription | None = None
        self._queue: deque[Change] = deque()
        self._gap: Gap | None = None
        self._held = False
        self.wanted: dict[str, Any] | None = None  # what the session takes to its next connection
        self.gaps = 0

    def subscribe(self, body: Mapping[str, Any]) -> str:
        """Begins, instead of what was; the present seq. Nothing is sent before `release`.

        Raises:
            Busy: too many subscriptions by this key.
        """
        lost = bool(self._queue) or self._gap is not None
        self.unsubscribe()
        wanted = {name: body[name] for name in ("kinds", "requests", "workers") if name in body}
        self._held = True
        try:
            seq, self._subscription = self._feed.subscribe(
                self._deliver, **wanted, after_seq=body.get("after_seq") or (LOST if lost else None)
            )
        except BaseException:
            self._held = False
            raise
        self.wanted = wanted
        return seq

    def unsubscribe(self) -> None:
        """Ends it; what waits is dropped."""
        self.wanted = None
        self.close()

    def close(self) -> None:
        """The connection is over."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        self._queue.clear()
        self._gap = None

    def release(self) -> None:
        """The reply has gone: news may follow."""
        self._held = False
        self.flush()

    def _deliver(self, change: Change) -> None:
        if self._gap is not None or len(self._queue) >= QUEUE:
            # Whoever is that slow reads the lists anew: older news is of no use to him.
            if self._gap is None:
                self.gaps += 1
            self._queue.clear()
            self._gap = Gap(change.seq, change.at)
            return
        self._queue.append(change)
        if not self._held and len(self._queue) == 1:
            self.flush()

    def flush(self) -> None:
        """Sends what there is room for."""
        while self._queue and not self._held:
            frame = self._frames.get(self._queue[0])
            if frame is not None and not self._try_send(frame):
                return
            if self._queue:
                self._queue.popleft()
        if self._gap is not None and not self._held:
            frame = self._frames.get(self._gap)
            if frame is None or self._try_send(frame):
                self._gap = None

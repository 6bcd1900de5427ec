"""News of every committed change: numbered, kept for a while, delivered to those who watch.

What a crash could undo is told to nobody: news wait until what they tell of is written.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from boruta.domain import defaults
from boruta.domain.changes import Change, Gap, RequestChanged, WorkerChanged
from boruta.domain.ports import Store
from boruta.domain.types import ReqID, ReqInfo, WorkerInfo, WorkerUUID

log: Final = logging.getLogger("boruta.feed")


# A change: about, kind, at, describe, of; its number before that once it is out. Plain tuples,
# for each job makes six of them, and they are put into words for those who watch alone.
_Told: TypeAlias = "tuple[ReqID | WorkerUUID, str, datetime, Callable[..., Any], tuple[Any, ...]]"
_News: TypeAlias = (
    "tuple[int, ReqID | WorkerUUID, str, datetime, Callable[..., Any], tuple[Any, ...]]"
)


def _change(news: _News, life: str) -> Change:
    number, about, kind, at, describe, of = news
    made = RequestChanged if isinstance(about, int) else WorkerChanged
    return made(f"{life}-{number}", kind, at, describe(*of))


class _Watcher:
    def __init__(
        self,
        feed: ChangeFeed,
        deliver: Callable[[Change], None],
        kinds: Sequence[str] | None,
        requests: Sequence[ReqID] | None,
        workers: Sequence[WorkerUUID] | None,
    ) -> None:
        self._feed = feed
        self.deliver = deliver
        self._kinds = frozenset(kinds) if kinds is not None else None
        self._requests = frozenset(requests) if requests is not None else None
        self._workers = frozenset(workers) if workers is not None else None

    def listens_to(self, kind: str) -> bool:
        return self._kinds is None or kind in self._kinds

    def wants(self, about: ReqID | WorkerUUID) -> bool:
        if self._requests is None and self._workers is None:
            return True
        if isinstance(about, int):
            return self._requests is not None and about in self._requests
        return self._workers is not None and about in self._workers

    def close(self) -> None:
        self._feed.forget(self)


class ChangeFeed:
    """Gives each change a number and hands it to the watchers that want it.

    Args:
        life: what tells this feed's numbers from those of another life of the server.
        utcnow: the time of a change.
        store: where changes are written.
    """

    def __init__(self, life: str, utcnow: Callable[[], datetime], store: Store) -> None:
        self._life = life
        self._utcnow = utcnow
        self._store = store
        self._number = 0
        self._waiting: deque[tuple[int, _Told]] = deque()  # with the position that they wait for
        store.on_health(self._go_out)
        # Those who come back find the last FEED_KEPT changes; older ones are a gap to them.
        self._kept: deque[_News] = deque(maxlen=defaults.FEED_KEPT)
        self._watchers: list[_Watcher] = []
        self._listeners: dict[str, tuple[_Watcher, ...]] = {}  # by kind, as far as it was asked

    @property
    def seq(self) -> str:
        """The number of the latest change."""
        return f"{self._life}-{self._number}"

    def tell(
        self, kind: str, about: ReqID | WorkerUUID, describe: Callable[..., Any], *of: Any
    ) -> None:
        """A request or a worker changed.

        Args:
            kind: of the change, as in `domain.changes`.
            about: its id or UUID.
            describe: called with `of`, perhaps later, gives what it is now.
            of: what `describe` takes.
        """
        news = (about, kind, self._utcnow(), describe, of)
        store = self._store
        if store.written >= store.position and not self._waiting:
            self._deliver(news)
            return
        self._waiting.append((store.position, news))
        if store.unwell is None:
            store.when_written(store.position, self._go_out)
        else:
            self._go_out()

    def _go_out(self) -> None:
        """Delivers what is written; all that waits if the store is unwell: what runs goes on."""
        store, waiting = self._store, self._waiting
        while waiting and (waiting[0][0] <= store.written or store.unwell is not None):
            self._deliver(waiting.popleft()[1])

    def _deliver(self, told: _Told) -> None:
        self._number += 1
        news = (self._number, *told)
        self._kept.append(news)
        if not self._watchers:
            return
        about, kind = told[:2]
        listeners = self._listeners.get(kind)
        if listeners is None:
            listeners = tuple(one for one in self._watchers if one.listens_to(kind))
            self._listeners[kind] = listeners
        change: Change | None = None
        for watcher in listeners:
            try:
                if watcher.wants(about):
                    if change is None:
                        change = _change(news, self._life)
                    watcher.deliver(change)
            except Exception:  # whoever watches must not stop those who work
                log.exception("news_not_delivered kind=%s about=%s", kind, about)

    def request(self, kind: str, req_id: ReqID, describe: Callable[..., ReqInfo]) -> None:
        """A request changed."""
        self.tell(kind, req_id, describe)

    def worker(self, kind: str, uuid: WorkerUUID, describe: Callable[..., WorkerInfo]) -> None:
        """A worker changed."""
        self.tell(kind, uuid, describe)

    def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
        after_seq: str | None = None,
    ) -> tuple[str, _Watcher]:
        """Delivers each change from now on, or from after `after_seq`; a Gap if that is lost."""
        watcher = _Watcher(self, deliver, kinds, requests, workers)
        if after_seq is not None and after_seq != self.seq:
            self._catch_up(watcher, after_seq)
        self._watchers.append(watcher)
        self._listeners.clear()
        return self.seq, watcher

    def _catch_up(self, watcher: _Watcher, after_seq: str) -> None:
        life, _, number = after_seq.rpartition("-")
        known = life == self._life and number.isdigit()
        missed = self._number - int(number) if known else -1
        if missed < 0 or missed > len(self._kept):
            watcher.deliver(Gap(self.seq, self._utcnow()))
            return
        for news in list(self._kept)[len(self._kept) - missed :]:
            if watcher.listens_to(news[2]) and watcher.wants(news[1]):
                watcher.deliver(_change(news, self._life))

    def forget(self, watcher: _Watcher) -> None:
        """Delivers to it no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            self._listeners.clear()

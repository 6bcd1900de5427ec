"""The engine as the transport and the farm see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from actors.api import RequestsApi
from actors.messages import Close, LinkLost, SetFail
from actors.system import System
from actors.workers_api import SuperviserApi, WorkersApi
from boruta.domain import defaults
from boruta.domain.changes import Change
from boruta.domain.errors import ActionRefused, Busy
from boruta.domain.history import Event, History
from boruta.domain.ports import DryadPort, Feed, Subscription
from boruta.domain.types import Caller, ReqID, Role, WorkerUUID

KEY_REMOVAL = Caller("an admin, who removed the key", Role.ADMIN)


class EngineFront:
    """The `Front` port over a `System`.

    Args:
        system: the actors.
        facts: more of what `info` tells.
        history: reads what the store has kept of it; None: it keeps none.
    """

    def __init__(
        self,
        system: System,
        facts: Mapping[str, object] | None = None,
        history: History | None = None,
    ) -> None:
        self._system = system
        self.history: History = _no_history if history is None else history
        self._facts = dict(facts or {})
        self._subscriptions: dict[str, int] = {}

    def requests(self, caller: Caller, reached_at: str = "") -> RequestsApi:
        """Requests as `caller` may use them."""
        return RequestsApi(self._system, caller, reached_at)

    def workers(self, caller: Caller) -> WorkersApi:
        """Workers as `caller` may use them."""
        return WorkersApi(self._system, caller)

    def superviser(self, caller: Caller) -> SuperviserApi:
        """The superviser, for a worker's key."""
        return SuperviserApi(self._system, caller)

    def feed(self, caller: Caller) -> Feed:
        """Changes, with a bound on how many watch by one key."""
        return _BoundedFeed(self._system.directory.feed, caller.name, self._subscriptions)

    def session_opened(self, caller: Caller) -> bool:
        """A client's session has a connection; whether what it held was kept."""
        return self._system.sessions.opened(caller)

    def session_lost(self, caller: Caller) -> None:
        """A client's session has no connection now."""
        self._system.sessions.lost(caller)

    def worker_lost(self, uuid: WorkerUUID, port: DryadPort) -> None:
        """An agent's connection is gone."""
        self._system.directory.tell_worker(uuid, LinkLost(port))

    def worker_heard(self, uuid: WorkerUUID, port: DryadPort) -> None:
        """An agent gave a sign of life; costs no message and no write."""
        there = self._system.directory.presence.get(uuid)
        if there is not None and there.port is port:
            there.last_seen = self._system.directory.dispatcher.utcnow()

    def key_removed(self, name: str) -> None:
        """A key is not admitted any more: what its owner holds ends, its workers fail (C7)."""
        directory = self._system.directory
        for row in directory.store.requests():
            # What waits too: it would take a board that nobody can acquire, and fall to whoever is
            # given the same name later.
            if row.owner_name == name and not row.state.ended:
                directory.tell_request(row.id, Close(KEY_REMOVAL))
        for board in directory.store.workers():
            if board.owner_key == name:
                directory.tell_worker(board.uuid, SetFail("its key was removed", KEY_REMOVAL))

    def info(self) -> Mapping[str, object]:
        """Plain facts for `server.info`."""
        directory = self._system.directory
        store, watchdog = directory.store, directory.dispatcher.watchdog
        return {
            **self._facts,
            "workers": len(directory.workers),
            "online": sum(1 for there in directory.presence.values() if there.online),
            "live_requests": len(directory.requests),
            "store": store.name,
            "store_survives": store.survives,
            "store_unwell": None if store.unwell is None else store.unwell.message,
            "store_waiting": store.position - store.written,
            "seq": directory.feed.seq,
            "slow_turns": watchdog.count,
            "worst_turn_s": round(watchdog.worst_s, 3),
            "worst_lag_s": round(self._system.worst_lag_s, 3),
        }


async def _no_history(
    *,
    request: ReqID | None = None,
    worker: WorkerUUID | None = None,
    before: int | None = None,
    limit: int = defaults.HISTORY_PAGE,
) -> Sequence[Event]:
    raise ActionRefused("this server keeps no history: its store is memory (--database)")


class _BoundedFeed:
    def __init__(self, feed: Feed, name: str, counts: dict[str, int]) -> None:
        self._feed = feed
        self._name = name
        self._counts = counts

    def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[WorkerUUID] | None = None,
        after_seq: str | None = None,
    ) -> tuple[str, Subscription]:
        count = self._counts.get(self._name, 0)
        if count >= defaults.SUBSCRIPTIONS_A_KEY:
            raise Busy(f"{self._name} has {count} subscriptions, which is the limit; end one first")
        seq, subscription = self._feed.subscribe(
            deliver, kinds=kinds, requests=requests, workers=workers, after_seq=after_seq
        )
        self._counts[self._name] = self._counts.get(self._name, 0) + 1
        return seq, _Counted(subscription, self._name, self._counts)


class _Counted:
    def __init__(self, inner: Subscription, name: str, counts: dict[str, int]) -> None:
        self._inner: Subscription | None = inner
        self._name = name
        self._counts = counts

    def close(self) -> None:
        if self._inner is None:
            return
        self._inner.close()
        self._inner = None
        left = self._counts.get(self._name, 1) - 1
        if left > 0:
            self._counts[self._name] = left
        else:
            self._counts.pop(self._name, None)

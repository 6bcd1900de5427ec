"""The matcher: holds the ready queue and the idle workers, so that no question travels."""

from __future__ import annotations

from collections import deque
from typing import assert_never

from actors.base import FarmActor
from actors.directory import Directory
from actors.explaining import Explaining
from actors.inboxes import MatcherMessage
from actors.messages import (
    Assign,
    AssignRefused,
    Explain,
    ExplainWaiting,
    FoundUnservable,
    IsServable,
    Match,
    RequestLeft,
    RequestReady,
    Sweep,
    WorkerForgotten,
    WorkerKnown,
    WorkerOffered,
    WorkerWithdrawn,
)
from actors.runtime import Future
from boruta.domain import defaults
from boruta.domain.matching import PAIRS_A_TURN, Matching
from boruta.domain.rows import RequestRow
from boruta.domain.types import (
    Capabilities,
    Groups,
    ReqID,
    ReqState,
    WorkerUUID,
)

_MATCH = Match()
EXPLAIN_S = 0.002  # for explanations in one turn; then come others, the sockets too


class MatcherActor(FarmActor[MatcherMessage]):
    """Who gets which board. After a failure it is filled anew from the store and the refs."""

    kind = "matcher"

    def __init__(self, directory: Directory, key: str = "matcher") -> None:
        super().__init__(directory, key)
        self._matching = Matching()
        self._ready: dict[ReqID, RequestRow] = {}
        # Offered to a worker that has not yet answered: (worker, rev, since).
        self._asked: dict[ReqID, tuple[WorkerUUID, int, float]] = {}
        self._match_is_due = False
        # Bounded by who asks: each call of a list waits for its answer.
        self._explaining: deque[Explaining] = deque()

    def begin(self) -> None:
        """Says which boards to prepare first, where not all can be at once (SAFETY, B6)."""
        self.directory.permits.wanted = self._matching.most_wanted

    def on_message(self, message: MatcherMessage, reply: Future | None) -> object:
        """Keeps the index, then matches once for all that came in this turn."""
        match message:
            case RequestReady(request=row):
                self._ready_again(row)
            case RequestLeft(id=req_id):
                self._forget(req_id)
                return None  # that makes nothing possible which was not
            case WorkerKnown(worker=row):
                self.directory.ever_registered = True
                self._matching.worker_known(row.uuid, row.caps.without_uuid(), row.groups)
            case WorkerForgotten(uuid=uuid):
                self._matching.worker_forgotten(uuid)
            case WorkerOffered(uuid=uuid, recently_failed=failed):
                self._matching.worker_offered(uuid, recently_failed=failed)
            case WorkerWithdrawn(uuid=uuid):
                self._matching.worker_withdrawn(uuid)
            case AssignRefused(request=req_id, rev=rev, worker=uuid):
                asked = self._asked.get(req_id)
                if asked is not None and asked[:2] == (uuid, rev):
                    self._put_back(req_id)
            case Match():
                self._match_is_due = False
                self._match()
                return None
            case ExplainWaiting(requests=rows):
                assert reply is not None
                self._explaining.append(Explaining(rows, self.directory, self._matching, reply))
                if len(self._explaining) == 1:
                    self._explain()
                return None
            case Explain():
                self._explain()
                return None
            case IsServable(caps=caps, groups=groups):
                return self._what_nobody_has(caps, groups)
            case Sweep():
                self._sweep()
            case _:
                assert_never(message)
        self._match_soon()
        return None

    def _ready_again(self, row: RequestRow) -> None:
        known = self._ready.get(row.id)
        if known is not None and known.rev >= row.rev:
            return
        self._ready[row.id] = row
        self._asked.pop(row.id, None)
        self._matching.request_ready(
            row.id, row.rev, row.priority, row.queue_seq, row.caps, row.owner_groups
        )

    def _match_soon(self) -> None:
        """Matches, at once if nothing else has come in."""
        if self.actor_inbox.empty():
            self._match()
        else:
            self._match_later()

    def _match_later(self) -> None:
        if not self._match_is_due:
            self._match_is_due = True
            self.actor_ref.tell(_MATCH)

    def _match(self) -> None:
        if self.directory.holding:
            return  # the first seconds after a start: all known agents may come back yet (B2)
        more = self._matching.advance(defaults.INDEX_SLICE)
        found = self._matching.matches()
        more = more or self._matching.unfinished or len(found) == PAIRS_A_TURN
        now = self.directory.dispatcher.now()
        for req_id, uuid in found:
            row = self._ready[req_id]
            self._asked[req_id] = (uuid, row.rev, now)
            if not self.directory.tell_worker(uuid, Assign(row)):
                self._put_back(req_id)
                more = True
        if more:
            self._match_later()
        elif self.directory.rules.unservable == "invalid" and self.directory.judging:
            self._invalidate()

    def _put_back(self, req_id: ReqID) -> None:
        self._asked.pop(req_id, None)
        if req_id not in self._ready:
            return
        row = self.directory.store.request(req_id)
        if row is not None and row.state is ReqState.WAIT:
            self._matching.refused(req_id)
        else:
            # Its actor has not told, or did not live to: offered again, it would be refused again.
            self._forget(req_id)

    def _forget(self, req_id: ReqID) -> None:
        self._ready.pop(req_id, None)
        self._asked.pop(req_id, None)
        self._matching.request_gone(req_id)

    def _sweep(self) -> None:
        """Offers again what was offered to nobody alive (SAFETY, A6)."""
        before = self.directory.dispatcher.now() - defaults.SWEEP_S
        for req_id, (_, _, since) in tuple(self._asked.items()):
            if since <= before:
                self._put_back(req_id)

    def _invalidate(self) -> None:
        for row in tuple(self._ready.values()):
            if not self._matching.servable(row.caps, row.owner_groups):
                self.directory.tell_request(row.id, FoundUnservable(row.rev))

    def _what_nobody_has(self, caps: Capabilities, groups: Groups) -> list[str] | None:
        if not self.directory.judging or self._matching.servable(caps, groups):
            return None
        return list(self._matching.unmet(caps, groups))

    def _explain(self) -> None:
        """Works on at the oldest question, then gives others a turn: a list may be long."""
        if self._explaining[0].go_on(EXPLAIN_S):
            self._explaining.popleft()
        if self._explaining:
            self.actor_ref.tell(Explain())

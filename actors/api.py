"""Requests as coroutines on the dispatcher's loop, for one caller.

This is the outer facade: it checks what can be checked without state, and it alone asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from actors.asking import Asking
from actors.base import ActorGone, Restarted
from actors.messages import (
    Acquire,
    Close,
    ExplainWaiting,
    IsServable,
    Prolong,
    Rebind,
    StopAcquiring,
    Update,
)
from actors.request_shell import describe, out_of_reach
from actors.runtime import Future
from actors.system import System
from boruta.domain import defaults, policy, request, requirements, showing
from boruta.domain.errors import (
    BadRequest,
    BadTime,
    Busy,
    InternalLogicError,
    NotFoundError,
    ShuttingDown,
    StoreUnavailable,
    TokenConflict,
    Unservable,
)
from boruta.domain.rows import Conflict, JobRow, RequestRow, Write
from boruta.domain.slices import Sliced, chunks
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Caller,
    Capabilities,
    Groups,
    ListFilter,
    ListInfo,
    Page,
    Priority,
    Prolonged,
    ReqID,
    ReqInfo,
    ReqState,
    SortInfo,
    UserInfo,
)

_TRIES = 100  # turns; a failed actor is back after one or two


class RequestsApi(Asking):
    """`AsyncRequests` for one caller, who came by the host `reached_at`."""

    def __init__(self, system: System, caller: Caller, reached_at: str = "") -> None:
        super().__init__(system, caller)
        self._reached_at = reached_at

    async def new_request(
        self,
        caps: Mapping[str, str],
        priority: Priority,
        owner: UserInfo = NOBODY,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        *,
        job_timeout: float | None = None,
        note: str = "",
        token: str | None = None,
        bound: bool = False,
        unservable: str | None = None,
    ) -> ReqID:
        """Queues a request; its id is given after the store has it."""
        directory, rules = self._directory, self._directory.rules
        if self._system.closing:
            raise ShuttingDown("the server is stopping", retry_after_s=2.0)
        self._check_store()
        if unservable not in (None, "wait", "invalid", "refuse"):
            raise BadRequest(f"unservable: {unservable!r} (allowed: wait, invalid, refuse)")
        now = directory.dispatcher.utcnow()
        wanted = requirements.accepted(caps)
        policy.check_text(note, token)
        groups = policy.check_groups(self._caller, owner.groups)
        name = owner.name if self._caller.is_admin and owner.name else self._caller.name
        hashed = b""
        if token is not None:
            hashed = request.body_hash(
                wanted, priority, groups, valid_after, deadline, job_timeout, note, bound
            )
            if (twin := self._twin(name, token, hashed)) is not None:
                return await self._again(twin)
        policy.check_priority(priority)
        valid_after, deadline = policy.check_times(
            now, valid_after, deadline, rules.default_deadline_s
        )
        job_timeout = policy.check_job_timeout(job_timeout, rules.limits)
        if directory.live.get(name, 0) >= defaults.LIVE_REQUESTS_A_KEY:
            raise Busy(
                f"{name} has {defaults.LIVE_REQUESTS_A_KEY} live requests, which is the limit",
                retry_after_s=10.0,
            )
        if (unservable or rules.unservable) == "refuse":
            await self._refuse_unservable(wanted, groups)
            # The same call, sent again, may have come through meanwhile.
            if token is not None and (twin := self._twin(name, token, hashed)) is not None:
                return await self._again(twin)
        # Nothing waits between this and the commit: requests are written in the order of their ids.
        row = RequestRow(
            id=directory.store.next_request(),
            rev=1,
            state=ReqState.WAIT,
            priority=priority,
            queue_seq=directory.store.next_seq(),
            caps=wanted,
            valid_after=valid_after,
            deadline=deadline,
            job_timeout_s=job_timeout,
            created=now,
            owner_name=name,
            owner_groups=groups,
            note=note,
            token=token,
            body_hash=hashed,
            session=self._caller.session,
            bound=bound,
        )
        await self._committed(row)
        if not directory.journal.is_written(row.id):
            try:
                await self._written(row.id)
            except StoreUnavailable as error:
                # Whoever calls again without its token would have two: he is told which it is.
                raise StoreUnavailable(
                    f"request {row.id} is queued, but may be lost by a crash: {error.message}",
                    **{**error.details, "id": row.id},
                ) from None
        if directory.dispatcher.crowded:
            # Behind what it has made work for: who asks for thousands at once waits for himself,
            # and others do not wait for him.
            await self._next_turn()
        return row.id

    def _twin(self, name: str, token: str, hashed: bytes) -> RequestRow | None:
        """The request that this very call has made already."""
        twin = self._directory.store.by_token(name, token)
        if twin is None:
            return None
        if twin.body_hash != hashed:
            raise TokenConflict(
                f"token {token!r} was used for request {twin.id} with another body", id=twin.id
            )
        return twin

    async def _again(self, twin: RequestRow) -> ReqID:
        """The call is sent again: a bound request goes over to the session it comes from now."""
        if twin.bound and not twin.state.ended:
            self._system.sessions.bind(self._caller, twin.id)
            if twin.session != self._caller.session:
                # In the store too, or after a restart it would end with the session it had.
                await self._ask_request(twin.id, Rebind(self._caller), lambda row: None)
        await self._written(twin.id)
        return twin.id

    async def _refuse_unservable(self, caps: Capabilities, groups: Groups) -> None:
        missing = await self._ask_matcher(IsServable(caps, groups))
        if missing is not None:
            what = f"; nobody has {', '.join(missing)}" if missing else ""
            raise Unservable(
                f"no known board could ever serve {dict(caps)}{what}; "
                "boruta workers shows what there is",
                unmet=missing,
            )

    async def _committed(self, row: RequestRow) -> None:
        directory, done = self._directory, Future(self._directory.dispatcher)

        def then(conflict: Conflict | None) -> None:
            # Here and not after the answer: whoever asked may be gone by then, the request is not.
            if conflict is None:
                self._system.start_request(row)
                if row.bound:
                    self._system.sessions.bind(self._caller, row.id)
                directory.feed.tell("created", row.id, describe, row, None, directory)
            done.answer(conflict)

        directory.journal.submit((Write(row, 0),), then, self._caller.name)
        if await done is not None:
            raise StoreUnavailable(f"request {row.id} was refused by the store")

    async def close_request(self, req_id: ReqID) -> None:
        """Cancels what waits, ends what runs."""
        now, name = self._directory.dispatcher.utcnow(), self._caller.name
        await self._ask_request(
            req_id, Close(self._caller), lambda row: request.closed(row, now, name)
        )

    async def update_request(self, req_info: ReqInfo) -> None:
        """Changes priority, valid_after and deadline of a waiting request."""
        self._check_store()
        now, wanted = self._directory.dispatcher.utcnow(), req_info
        await self._ask_request(
            req_info.id,
            Update(req_info, self._caller),
            lambda row: policy.check_update(
                row, now, wanted.priority, wanted.valid_after, wanted.deadline
            ),
        )

    async def get_request_info(self, req_id: ReqID) -> ReqInfo:
        """The request; one that waits says why."""
        row = self._row(req_id)
        found = await self._explained([row])
        await self._settled(req_id)
        return found[0]

    async def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]:
        """The requests that match; those of the page that wait say why."""
        directory = self._directory

        def described(row: RequestRow) -> ReqInfo:
            return describe(row, directory.store.job(row.id), directory)

        work = directory.store.page_of_requests(filter, sort, page, described)
        rows, info = await self._in_slices(work)
        found = await self._explained(rows)
        await self._settled()
        return found, info

    async def _explained(self, rows: Sequence[RequestRow]) -> list[ReqInfo]:
        directory = self._directory
        waits = await self._why(rows) if await self._in_slices(_some_wait(rows)) else None
        return await self._in_slices(
            showing.infos(rows, directory.store.job, directory.rules.limits, waits, self._said)
        )

    async def _why(self, rows: Sequence[RequestRow]) -> showing.Waits:
        for _ in range(2):
            try:
                found: showing.Waits = await self._ask_matcher(ExplainWaiting(rows))
                return found
            except ShuttingDown:
                raise
            except Exception:  # whatever it failed at, it is logged there
                await self._next_turn()  # it is started anew
        return None  # what is known of a request is told without it

    def _said(self, job: JobRow) -> str:
        board = self._directory.presence.get(job.worker_uuid)
        return "" if board is None or board.online else out_of_reach(job)

    async def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        """Waits while the request waits, then tells how to reach its board."""
        if timeout is not None and not timeout >= 0:
            raise BadTime(f"timeout: {timeout!r} (want seconds from 0, or none at all)")
        message = Acquire(self._caller, self._reached_at)
        late = None
        if timeout is not None and self._row(req_id).state is ReqState.WAIT:
            late = self._directory.dispatcher.call_later(
                timeout, lambda: self._directory.tell_request(req_id, StopAcquiring(message, True))
            )
        try:
            found: AccessInfo = await self._ask_request(
                req_id, message, lambda row: request.running(row, None)
            )
            return found
        finally:
            if late is not None:
                late.cancel()
            self._directory.tell_request(req_id, StopAcquiring(message))

    async def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        """Sets the job's end to now plus its job time, within limits."""
        policy.check_text("", token)
        self._check_store()
        found: Prolonged = await self._ask_request(
            req_id, Prolong(self._caller, token), lambda row: request.running(row, None)
        )
        return found

    async def _ask_request(
        self, req_id: ReqID, message: object, refuse: Callable[[RequestRow], object]
    ) -> Any:
        """Asks a live request; `refuse` raises what an ended one is answered."""
        for _ in range(_TRIES):
            row = self._row(req_id)
            policy.check_may_hold(self._caller, row.owner_name)
            if row.state.ended:
                await self._written(req_id)
                refuse(row)
                return None
            ref = self._directory.requests.get(req_id)
            if ref is not None and ref.is_alive():
                try:
                    found = await self._ask(ref, message, f"request {req_id} not found")
                except (Restarted, ActorGone):
                    pass  # it ended meanwhile, or is started anew
                else:
                    await self._written(req_id)
                    return found
            if self._system.closing:
                raise ShuttingDown("the server is stopping", retry_after_s=2.0)
            await self._next_turn()  # one that failed is started anew on the dispatcher's next turn
        raise InternalLogicError(f"the actor of request {req_id} fails again and again")

    def _row(self, req_id: ReqID) -> RequestRow:
        row = self._directory.store.request(req_id)
        if row is None:
            raise NotFoundError(f"request {req_id} not found", id=req_id)
        return row


def _some_wait(rows: Sequence[RequestRow]) -> Sliced[bool]:
    for chunk in chunks(rows):
        if any(row.state is ReqState.WAIT for row in chunk):
            return True
        yield
    return False

"""The seed's blocking interfaces over the same methods as coroutines, for other threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from boruta.domain.interfaces import AsyncRequests, AsyncWorkers, WorkerListFilter
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Check,
    ListFilter,
    ListInfo,
    Page,
    Priority,
    Prolonged,
    ReqID,
    ReqInfo,
    SortInfo,
    UserInfo,
    WorkerInfo,
    WorkerState,
    WorkerUUID,
)
from boruta.loops import LoopThread


class BlockingRequests:
    """`Requests` over `AsyncRequests` that run on the loop of another thread."""

    def __init__(self, loop: LoopThread, requests: Callable[[], AsyncRequests]) -> None:
        self.__loop = loop
        self.__inner = requests

    def new_request(
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
        """Queues a request; the id is given after the store has it.

        Args:
            caps: what the board must have, by the grammar of capabilities.
            priority: 1 (most important) .. 16.
            owner: its `groups` are the worker groups that may serve it; none: any.
            valid_after: not before; aware UTC.
            deadline: no longer wanted then; aware UTC; None: in a month.
            job_timeout: seconds that the job may take.
            note: what it is for, shown in lists.
            token: the same token gives the same request again.
            bound: it ends with this client's session.
            unservable: "wait", "invalid" or "refuse"; None: as the server is set.

        Raises:
            UsageError: something of it is wrong.
            Unservable: asked to refuse, and no known board could ever serve it.
        """
        return self.__loop.call(
            lambda: self.__inner().new_request(
                caps,
                priority,
                owner,
                valid_after,
                deadline,
                job_timeout=job_timeout,
                note=note,
                token=token,
                bound=bound,
                unservable=unservable,
            )
        )

    def close_request(self, req_id: ReqID) -> None:
        """Cancels what waits, ends what runs.

        Raises:
            ActionRefused: it has ended already.
        """
        self.__loop.call(lambda: self.__inner().close_request(req_id))

    def update_request(self, req_info: ReqInfo) -> None:
        """Changes priority, valid_after and deadline of a waiting request.

        Raises:
            ActionRefused: it does not wait.
        """
        self.__loop.call(lambda: self.__inner().update_request(req_info))

    def get_request_info(self, req_id: ReqID) -> ReqInfo:
        """The request; one that waits says why."""
        return self.__loop.call(lambda: self.__inner().get_request_info(req_id))

    def list_requests(
        self,
        filter: ListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[ReqInfo], ListInfo]:
        """The requests that match, and how many there are in all."""
        return self.__loop.call(lambda: self.__inner().list_requests(filter, sort, page))

    def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        """Waits while the request waits, then tells how to reach its board.

        Raises:
            TimedOut: it still waits after `timeout` seconds.
            WorkerNotAssigned: it has ended; details.state says how.
        """
        return self.__loop.call(lambda: self.__inner().acquire_worker(req_id, timeout))

    def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        """Sets the job's end to now plus its job time.

        Raises:
            ProlongLimit: as often, or as long, as is allowed.
            WorkerNotAssigned: it holds no board.
        """
        return self.__loop.call(lambda: self.__inner().prolong_access(req_id, token=token))


class BlockingWorkers:
    """`Workers` over `AsyncWorkers` that run on the loop of another thread."""

    def __init__(self, loop: LoopThread, workers: Callable[[], AsyncWorkers]) -> None:
        self.__loop = loop
        self.__inner = workers

    def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]:
        """The workers that match, and how many there are in all."""
        return self.__loop.call(lambda: self.__inner().list_workers(filter, sort, page))

    def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        return self.__loop.call(lambda: self.__inner().get_worker_info(uuid))

    def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        """Sends the worker towards IDLE or MAINTENANCE; `drain` lets its job end first.

        Raises:
            StateNotAllowed: another state.
            TransitionRefused: not from the state it is in.
        """
        self.__loop.call(lambda: self.__inner().set_state(uuid, state, reason=reason, drain=drain))

    def set_groups(self, uuid: WorkerUUID, groups: Sequence[str]) -> None:
        """Replaces the worker's groups."""
        self.__loop.call(lambda: self.__inner().set_groups(uuid, groups))

    def check(self, uuid: WorkerUUID) -> tuple[Check, ...]:
        """Runs the agent's healthcheck now."""
        return self.__loop.call(lambda: self.__inner().check(uuid))

    def deregister(self, uuid: WorkerUUID) -> None:
        """Forgets a worker in MAINTENANCE or FAILED.

        Raises:
            WorkerNotRemovable: in another state.
        """
        self.__loop.call(lambda: self.__inner().deregister(uuid))

"""Workers and Superviser as coroutines on the dispatcher's loop, for one caller each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.asking import Asking
from actors.base import ActorGone, Restarted
from actors.messages import Deregister, Register, RunCheck, SetFail, SetGroups, SetState
from boruta.domain import caps_limits, listing, policy, worker
from boruta.domain.commands import Registered, Registration
from boruta.domain.errors import InternalLogicError, NotFoundError
from boruta.domain.interfaces import WorkerListFilter
from boruta.domain.ports import DryadPort
from boruta.domain.rows import WorkerRow
from boruta.domain.slices import Sliced, chunks
from boruta.domain.types import (
    Check,
    ListInfo,
    Page,
    Role,
    SortInfo,
    WorkerInfo,
    WorkerState,
    WorkerUUID,
)

_DESCRIBED = 256  # boards between two looks at the clock
_TRIES = 100  # turns; a failed actor is back after one or two


class WorkersApi(Asking):
    """`AsyncWorkers` for one caller."""

    async def list_workers(
        self,
        filter: WorkerListFilter | None = None,
        sort: SortInfo | None = None,
        page: Page | None = None,
    ) -> tuple[list[WorkerInfo], ListInfo]:
        """The workers that match."""
        infos = await self._in_slices(self._infos())
        await self._settled()
        return listing.list_workers(infos, filter, sort, page)

    def _infos(self) -> Sliced[list[WorkerInfo]]:
        found = []
        for chunk in chunks(self._directory.store.workers(), _DESCRIBED):
            found += [self._described(row) for row in chunk]
            yield
        return found

    async def get_worker_info(self, uuid: WorkerUUID) -> WorkerInfo:
        """The worker."""
        found = self._info(uuid)
        await self._settled(uuid)
        return found

    async def set_state(
        self, uuid: WorkerUUID, state: WorkerState, *, reason: str = "", drain: bool = False
    ) -> None:
        """Sends the worker towards IDLE or MAINTENANCE."""
        policy.check_admin(self._caller)
        policy.check_text(reason, None, what="reason")
        # An argument that is never allowed is refused before the worker is looked for (6.3).
        worker.check_settable(state)
        self._check_store()
        await self._told(uuid, SetState(state, reason, drain, self._caller))

    async def set_groups(self, uuid: WorkerUUID, groups: Sequence[str]) -> None:
        """Replaces the worker's groups."""
        policy.check_admin(self._caller)
        wanted = policy.check_group_names(groups)
        self._check_store()
        await self._told(uuid, SetGroups(wanted, self._caller))

    async def check(self, uuid: WorkerUUID) -> tuple[Check, ...]:
        """Runs the agent's healthcheck now."""
        policy.check_admin(self._caller)
        found: tuple[Check, ...] = await self._told(uuid, RunCheck())
        return found

    async def deregister(self, uuid: WorkerUUID) -> None:
        """Forgets a worker in MAINTENANCE or FAILED."""
        policy.check_admin(self._caller)
        self._check_store()
        await self._told(uuid, Deregister(self._caller))

    async def _told(self, uuid: WorkerUUID, message: object) -> Any:
        ref = self._directory.workers.get(uuid)
        found = await self._ask(ref, message, f"worker {uuid} not found")
        await self._written(uuid)
        return found

    def _info(self, uuid: WorkerUUID) -> WorkerInfo:
        row = self._directory.store.worker(uuid)
        if row is None:
            raise NotFoundError(f"worker {uuid} not found", worker_uuid=uuid)
        return self._described(row)

    def _described(self, row: WorkerRow) -> WorkerInfo:
        there = self._directory.presence.get(row.uuid)
        return worker.info(
            row,
            online=there is not None and there.online,
            last_seen=None if there is None else there.last_seen,
        )


class SuperviserApi(Asking):
    """`AsyncSuperviser` for a worker's key."""

    async def register(self, registration: Registration, port: DryadPort) -> Registered:
        """Makes the worker known, or tells of its return."""
        if self._caller.role is Role.USER:
            policy.check_worker(self._caller)
        caps_limits.check_worker_caps(registration.caps)
        uuid = registration.caps.get_worker_uuid()
        message = Register(registration, self._caller, port)
        for _ in range(_TRIES):
            self._system.worker(uuid)
            ref = self._directory.workers.get(uuid)
            try:
                found: Registered = await self._ask(ref, message, f"worker {uuid} not found")
            except (Restarted, ActorGone):  # it failed, or was deregistered a moment ago
                await self._next_turn()
            else:
                await self._written(uuid)
                return found
        raise InternalLogicError(f"the actor of worker {uuid} fails again and again")

    async def set_fail(self, uuid: WorkerUUID, reason: str) -> None:
        """Reports the worker as failed; only its own key may."""
        row = self._directory.store.worker(uuid)
        if row is None:
            raise NotFoundError(f"worker {uuid} not found", worker_uuid=uuid)
        policy.check_owns_worker(self._caller, row.owner_key)
        policy.check_text(reason, None, what="reason")
        await self._ask(
            self._directory.workers.get(uuid),
            SetFail(reason, self._caller),
            f"worker {uuid} not found",
        )
        await self._written(uuid)

"""A board whose agent registers: what it becomes, and what becomes of its job.

Source: the original, 6.1 and 6.2, and SAFETY A3, B6, B7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from boruta.domain import worker
from boruta.domain.commands import Registration
from boruta.domain.errors import UUIDInUse
from boruta.domain.rows import JobRow, WorkerRow
from boruta.domain.states import WorkerEvent
from boruta.domain.types import WorkerState


@dataclass(frozen=True, slots=True)
class Return:
    """What a registration leads to.

    `keeps_job` says that the job goes on; otherwise `job_over` is the code with which the
    request of the board ends, if it held one.
    """

    row: WorkerRow
    keeps_job: bool = False
    job_over: str = ""
    job_reason: str = ""


def registered(
    row: WorkerRow | None,
    said: Registration,
    now: datetime,
    owner_key: str,
    *,
    initial: WorkerState = WorkerState.MAINTENANCE,
    auto_recover: bool = False,
    job: JobRow | None = None,
) -> Return:
    """The worker after its agent registered, for the first time or again.

    Source: the original, 6.1 and 6.2 (ports no longer count as a change), SAFETY A3, B6, B7.

    Raises:
        CapsMissingUUID: caps without UUID.
        UUIDInUse: the UUID belongs to another key.
    """
    uuid = said.caps.get_worker_uuid()
    if row is None:
        first = WorkerRow(
            uuid=uuid,
            rev=1,
            state=WorkerState.MAINTENANCE,
            caps=said.caps,
            server_epoch=said.epoch.server + 1,
            board_epoch=said.epoch.board,
            owner_key=owner_key,
            session=said.session,
            since=now,
            ssh_address=said.ssh_address,
        )
        if initial is WorkerState.IDLE:
            return Return(worker.prepare_anew(first, WorkerEvent.ENABLE, now)._replace(rev=1))
        return Return(first)
    if row.owner_key != owner_key:
        raise UUIDInUse(
            f"worker {uuid} belongs to the key {row.owner_key!r}; "
            f"an admin can free it: boruta worker deregister {uuid}",
            worker_uuid=uuid,
        )
    same_life = said.session == row.session and said.epoch.board == row.board_epoch
    known = row._replace(
        rev=row.rev + 1,
        caps=said.caps,
        ssh_address=said.ssh_address,
        session=said.session,
        server_epoch=max(row.server_epoch, said.epoch.server) + 1,
        board_epoch=max(row.board_epoch, said.epoch.board),
    )
    if said.caps != row.caps and row.state is not WorkerState.BUSY:
        taken = worker.taken_out(known, now, "its capabilities changed")
        return Return(taken._replace(rev=row.rev + 1), False, "maintenance", taken.reason)
    back = _returned(known, row, said, now, same_life, auto_recover, job)
    return replace(back, row=back.row._replace(rev=row.rev + 1))


def _ended_by(said: str) -> tuple[str, str]:
    """Why a job is over, as its agent says: other reasons are not an agent's to give."""
    match said:
        case "" | "time_up":
            return "time_up", ""
        case "over_limit":
            return said, "its holder took more of the board's disk than one may ([limits] disk)"
        case _:
            return "board_failed", "its board says that it is over"


def why_taken_back(row: WorkerRow | None) -> tuple[str, str]:
    """Reason code and reason of a job whose board is not its own any more, as the board tells it.

    For whoever was not told when that happened.
    """
    if row is None:
        return "board_lost", "its worker was deregistered"
    match row.state:
        case WorkerState.BUSY | WorkerState.MAINTENANCE:
            return "maintenance", row.reason or "put in maintenance"
        case WorkerState.FAIL if row.reason_code != "lost":
            return "board_failed", row.reason
        case _:
            return "board_lost", "its worker was lost: " + (row.reason or "it was taken back")


def _returned(
    known: WorkerRow,
    row: WorkerRow,
    said: Registration,
    now: datetime,
    same_life: bool,
    auto_recover: bool,
    job: JobRow | None,
) -> Return:
    match row.state:
        case WorkerState.RUN:
            over = said.ended
            if over is not None and over.epoch == row.board_epoch:
                fresh = worker.prepare_anew(known, WorkerEvent.RETURNED, now)
                return Return(fresh, False, *_ended_by(over.reason_code))
            kept = said.job
            if kept is not None and (kept.id, kept.epoch) == (row.request_id, row.board_epoch):
                return Return(known, True)
            # Prepared for this very job, but the lease never arrived: it comes with the answer.
            if kept is None and same_life:
                return Return(known, True)
            why = "its agent came back without the job"
            return Return(
                worker.job_failed(known, WorkerEvent.RETURNED, now, why, job),
                False,
                "board_lost",
                why,
            )
        case WorkerState.IDLE if same_life and said.job is None and said.ended is None:
            return Return(known)
        case WorkerState.IDLE | WorkerState.PREPARE:
            return Return(worker.prepare_anew(known, WorkerEvent.RETURNED, now))
        case WorkerState.BUSY:
            return Return(known._replace(board_epoch=known.board_epoch + 1))
        case WorkerState.MAINTENANCE:
            if said.job is not None or row.reason_code == "unreachable":
                return Return(worker.taken_out(known, now, row.reason))
            return Return(known)
        case WorkerState.FAIL:
            if row.reason_code == "lost" or auto_recover:
                return Return(worker.prepare_anew(known, WorkerEvent.RETURNED, now))
            return Return(known)

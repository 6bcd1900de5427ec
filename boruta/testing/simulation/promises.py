"""Whether what goes out of the server was written before: no crash may take it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.rows import RequestRow, Transaction, Write
from boruta.domain.types import Epoch, ReqID, ReqState
from boruta.store.memory import MemoryStore

if TYPE_CHECKING:
    from boruta.testing.simulation.servers import ServerHost

RULE: Final = "7 written first"
_BLUR_S: Final = 1.0  # a call that was let in while the store was well comes to its turn
_MOMENT: Final = timedelta(seconds=1)


class Promises:
    """The watch over what leaves the server: answers, and orders to agents."""

    server: ServerHost

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self._ids: dict[ReqID, None] = {}  # that were told
        self._closed: dict[ReqID, None] = {}  # of which was told that they are over

    @property
    def _disk(self) -> MemoryStore:
        return self.server.store.disk

    # --- what it says
    def answered(self, who: str, kind: str, said: dict[str, Any], body: dict[str, Any]) -> None:
        """A call is answered, and was not refused."""
        match kind:
            case "requests.new":
                self._ids[body["id"]] = None
                if self._disk.request(body["id"]) is None:
                    self._break(f"{who} is told of request {body['id']}, which is not written")
            case "requests.close":
                row = self._disk.request(said["id"])
                if row is not None and not row.state.ended:
                    self._break(f"{who} is told that request {row.id} is over: not written")
                self._closed[said["id"]] = None
            case "requests.acquire":
                access = body["access"]
                job = self._disk.job(said["id"])
                if job is None or job.key not in ("", access["key"]):
                    self._break(f"{who} is told the key of request {said['id']}: not written")
                elif "expires" in access:
                    self._check_end(who, said["id"], access["expires"])
            case "requests.prolong":
                self._check_end(who, said["id"], body["timeout"])
            case "workers.set_groups":
                self._check_groups(who, said["worker_uuid"])
            case "superviser.register":
                self._check_epoch(body["worker"]["worker_uuid"], kind, body["epoch"])
            case _:
                pass

    def _check_end(self, who: str, req_id: ReqID, until: datetime) -> None:
        job, now = self._disk.job(req_id), self.server.store.job(req_id)
        if job is None:
            self._break(f"{who} is told an end of request {req_id}, which has no job")
            return
        if job.ends_at >= until - _MOMENT or any(one.ends_at == until for one in job.prolonged_by):
            return
        if now is not None and now.ends_at >= until - _MOMENT:  # else it is another one by now
            self._break(f"{who} is told that request {req_id} lasts longer than what is written")

    def _check_groups(self, who: str, uuid: str) -> None:
        board, now = self._disk.worker(uuid), self.server.store.worker(uuid)
        if board is None or now is None or board.groups == now.groups or board.rev >= now.rev:
            return
        waits = [
            change.row
            for transaction in self.server.store.unwritten
            for change in transaction
            if isinstance(change, Write) and change.row[0] == uuid
        ]
        if len(waits) == 1:  # else this answer may be that to the change before
            self._break(f"{who} is told of groups of {uuid} that are not written")

    def ordered(self, who: str, kind: str, body: dict[str, Any]) -> None:
        """An agent is told something under an epoch."""
        uuid = who.removeprefix("key-")
        if kind == "dryad.end_session" or "epoch" not in body:
            return  # by an old epoch nothing begins
        self._check_epoch(uuid, kind, body["epoch"])
        if kind != "dryad.lease":
            return
        job = self._disk.job(body["id"])
        if job is None or job.board_epoch != body["epoch"][1] or job.worker_uuid != uuid:
            self._break(f"{uuid} is told of the job of request {body['id']}, which is not written")
        elif job.end_rev < body["end_rev"]:
            self._break(f"{uuid} is told of an end of request {body['id']} that is not written")

    def _check_epoch(self, uuid: str, kind: str, epoch: list[int]) -> None:
        board = self._disk.worker(uuid)
        if board is None or board.epoch < Epoch(*epoch):
            self._break(f"{uuid} is told epoch {epoch} by {kind}, which is not written")

    # --- what it decides
    def begins(self, what: str) -> None:
        """A job begins or is prolonged, or a request is taken in: not while the store is ill."""
        store = self.server.store
        if store.unwell is not None and self.server.world.now - store.unwell_at > _BLUR_S:
            self._break(f"{what} while the store is ill")

    def committed(self, transaction: Transaction) -> None:
        """A transaction is decided."""
        for change in transaction:
            if isinstance(change, Write) and isinstance(change.row, RequestRow):
                row = change.row
                if not change.was:
                    self.begins(f"request {row.id} is taken in")
                elif row.state is ReqState.INPROGRESS:
                    self.begins(f"request {row.id} is given a board")

    # --- after a crash
    def rolled_back(self) -> None:
        """The server died: what it has told is still there."""
        disk = self._disk
        for req_id in self._ids:
            if disk.request(req_id) is None:
                self._break(f"request {req_id} was told, and is gone after a crash")
        for req_id in self._closed:
            row = disk.request(req_id)
            if row is not None and not row.state.ended:
                self._break(f"request {req_id} was told to be over, and is back after a crash")

    def forget(self) -> None:
        """The store was lost, and with it all promises."""
        self._ids.clear()
        self._closed.clear()

    def _break(self, text: str) -> None:
        self._broken(RULE, text)

"""Refs of a farm's own actors, for a harness that is made of actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boruta.domain.errors import NotFoundError, ShuttingDown
from boruta.domain.types import ReqID, WorkerUUID

if TYPE_CHECKING:
    import pykka

    from actors.directory import Directory


class FarmActors:
    """Refs of the engine's own actors; they take the messages of `actors/messages.py`."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    @property
    def matcher(self) -> pykka.ActorRef[Any]:
        """The matcher.

        Raises:
            ShuttingDown: the farm is closed.
        """
        ref = self._directory.matcher
        if ref is None:
            raise ShuttingDown("the farm is closed")
        return ref

    def worker(self, uuid: WorkerUUID) -> pykka.ActorRef[Any]:
        """The worker's actor.

        Raises:
            NotFoundError: no such worker.
        """
        ref = self._directory.workers.get(uuid)
        if ref is None:
            raise NotFoundError(f"worker {uuid} not found", worker_uuid=uuid)
        return ref

    def request(self, req_id: ReqID) -> pykka.ActorRef[Any]:
        """The request's actor.

        Raises:
            NotFoundError: no such request, or it has ended.
        """
        ref = self._directory.requests.get(req_id)
        if ref is None:
            raise NotFoundError(f"request {req_id} not found among the live ones", id=req_id)
        return ref

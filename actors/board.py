"""What a worker's actor does to its board: orders to the agent, the tunnel, timers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pykka

from actors.directory import Directory, Presence
from actors.messages import Answered, WorkerDue
from actors.runtime import TimerHandle
from boruta.domain import defaults
from boruta.domain.commands import (
    Command,
    CommandReply,
    EndSession,
    Healthcheck,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
)
from boruta.domain.errors import BorutaError, TimedOut
from boruta.domain.ports import DryadPort, Endpoint
from boruta.domain.rows import JobRow, WorkerRow, Write
from boruta.domain.types import ReqID, WorkerUUID

_log = logging.getLogger("boruta.worker")


class Board:
    """The outward side of one worker. It keeps no state that the row has."""

    def __init__(
        self, directory: Directory, ref: pykka.ActorRef[Any], uuid: WorkerUUID, there: Presence
    ) -> None:
        self._directory = directory
        self._there = there
        self._ref = ref
        self._uuid = uuid
        self._timers: dict[str, TimerHandle] = {}
        self._endpoint: Endpoint | None = None
        self._open_job: ReqID | None = None
        self._key: tuple[int, str] | None = None  # board epoch, private key being installed

    # --- orders
    def order_prepare(self, row: WorkerRow) -> None:
        """Has the agent prepare the board with a new key, as soon as it may and is there."""
        self.cancel("retry")
        port = self._port
        if port is None or not self._directory.permits.ask(self._uuid, row.board_epoch):
            return
        private, public = self._directory.make_key()
        self._key = (row.board_epoch, private)
        self._send(
            port,
            Prepare(row.epoch, public, defaults.DEFAULT_LEASE_S),
            defaults.PREPARE_WITHIN_S,
            self._answer_to("prepare", row.board_epoch),
        )

    def order_maintenance(self, row: WorkerRow) -> None:
        """Has the agent end every session and show the message."""
        if self._port is not None:
            self._send(
                self._port,
                PutInMaintenance(row.epoch, row.reason or "maintenance"),
                defaults.MAINTENANCE_WITHIN_S,
                self._answer_to("maintenance", row.board_epoch),
            )

    def order_check(self, row: WorkerRow) -> None:
        """Has the agent look at its board."""
        if self._port is not None:
            self._port.send(
                Healthcheck(),
                defaults.HEALTHCHECK_WITHIN_S,
                self._answer_to("check", row.board_epoch),
            )

    def order_end(self, row: WorkerRow, reason: str) -> None:
        """Has the agent end the holder's session on a board that failed."""
        if self._port is not None and self._open_job is not None:
            self._port.send(
                EndSession(row.epoch, reason),
                defaults.END_SESSION_WITHIN_S,
                self._answer_to("end_session", row.board_epoch),
            )

    def tell_lease(self, job: JobRow) -> None:
        """Tells the agent when the job ends; again until it is acknowledged."""
        row = self._directory.store.worker(self._uuid)
        port = self._port
        if port is None or row is None:
            return
        left = self._directory.job_ends.left(job)

        def on_reply(outcome: CommandReply | BorutaError) -> None:
            if isinstance(outcome, TimedOut):
                self.later("lease", 0.0, job.board_epoch)
            elif isinstance(outcome, BorutaError):
                self.log("lease_refused", request=job.request_id, error=outcome)

        self._send(
            port,
            Lease(row.epoch, job.request_id, max(0.0, left), job.end_rev),
            defaults.LEASE_WITHIN_S,
            on_reply,
            job.request_id,  # a later end is written before it is told (SAFETY, A9)
        )

    def _send(
        self,
        port: DryadPort,
        command: Command,
        within_s: float,
        on_reply: Callable[[CommandReply | BorutaError], None],
        job_of: ReqID | None = None,
    ) -> None:
        # The epoch that it bears is written before it is borne (SAFETY, A2).
        self._directory.journal.after(
            self._uuid, lambda: port.send(command, within_s, on_reply), job_of
        )

    def _answer_to(self, command: str, epoch: int) -> Callable[[CommandReply | BorutaError], None]:
        def on_reply(outcome: CommandReply | BorutaError) -> None:
            if self._ref.is_alive():
                self._ref.tell(Answered(epoch, command, outcome))

        return on_reply

    def ready(self, outcome: object) -> tuple[str, PrepareDone] | None:
        """The private key and the agent's answer, if it prepared the board with that key."""
        if isinstance(outcome, PrepareDone) and self._key is not None:
            private = self._key[1]
            self._key = None
            return private, outcome
        return None

    # --- the job and its tunnel
    def lent(self, job: JobRow, endpoint: Endpoint) -> None:
        """A job began."""
        self._open_job, self._endpoint = job.request_id, endpoint

    def resume(self, job: JobRow) -> Endpoint:
        """After a restart: the tunnel of a job whose session may be alive, so that A4 is owed."""
        endpoint = Endpoint(job.tunnel_host, job.tunnel_port)
        self.lent(job, endpoint)
        return endpoint

    def close_tunnel(self) -> None:
        """Cuts the holder's way to the board."""
        if self._endpoint is not None:
            self._directory.access.close(self._endpoint)
            self._endpoint = None

    def session_over(self, now: datetime) -> None:
        """The agent has said that nothing of the holder is left (SAFETY, A4)."""
        if self._open_job is None:
            return
        job = self._directory.store.job(self._open_job)
        self._open_job = None
        if job is not None and job.ended_at is None:
            over = job._replace(rev=job.rev + 1, ended_at=now, key="")
            self._directory.journal.submit((Write(over, job.rev),), lambda _: None)

    def link_lost(self) -> None:
        """What was ordered over the old connection is not waited for."""
        self._key = None
        self.cancel("retry")

    # --- timers
    def later(self, what: str, seconds: float, epoch: int = 0) -> None:
        """Comes back as WorkerDue(what, epoch)."""
        self.cancel(what)
        self._timers[what] = self._directory.dispatcher.tell_later(
            seconds, self._ref, WorkerDue(what, epoch)
        )

    def has_timer(self, what: str) -> bool:
        """Whether it is still to come."""
        timer = self._timers.get(what)
        return timer is not None and not timer.done

    def cancel(self, what: str) -> None:
        """It does not come any more."""
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()

    def drop_timers(self) -> None:
        """None of them comes any more."""
        for what in tuple(self._timers):
            self.cancel(what)

    # --- small things
    @property
    def _port(self) -> DryadPort | None:
        return self._there.port

    def log(self, event: str, **fields: object) -> None:
        """One line for whoever runs the lab."""
        words = " ".join(f"{key}={value}" for key, value in fields.items())
        _log.warning("%s worker=%s %s", event, self._uuid, words)

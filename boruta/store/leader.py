"""Who leads on one PostgreSQL: a row with an epoch, and a lease by its clock (SAFETY, A12).

The leader renews its lease; whoever waits takes it once it has run out or was given back. The lease
counts from before the renewal was sent, so the leader's own reckoning ends first.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import psycopg

from boruta.domain.errors import NotLeader, StoreUnavailable
from boruta.peers import Peer
from boruta.store.backend import ServerIdentity
from boruta.store.peers import read_peers
from boruta.store.postgres import NOW, PostgresBackend, why
from boruta.store.writer import Post

log = logging.getLogger("boruta.leader")
LEASE_S: Final = 6.0
RENEW_S: Final = 1.5
LOOK_S: Final = 0.5  # of one that waits; a leader that goes wakes it at once
# Whoever stood still for longer may have been succeeded by a server that he has never heard of.
STOOD_S: Final = LEASE_S - RENEW_S
STANDBY_S: Final = 5.0  # one that has not looked for so long does not wait any more
_CHANNEL: Final = "boruta_leader"
_RENEW: Final = (
    f"UPDATE leader SET lease_until = {NOW} + %s WHERE epoch = %s "
    f"RETURNING (SELECT count(*) FROM servers WHERE id <> %s AND lease_until > {NOW})"
)
_RELEASE: Final = "UPDATE leader SET lease_until = 0 WHERE epoch = %s"
_WAITS: Final = (
    "INSERT INTO servers (id, epoch, address, started_at, software, lease_until) "
    f"VALUES (%s, 0, %s, {NOW}, %s, {NOW} + %s) ON CONFLICT (id) DO UPDATE SET "
    "address = excluded.address, software = excluded.software, "
    "lease_until = excluded.lease_until"
)
_LEADS: Final = (
    "SELECT servers.id, servers.address FROM leader, servers WHERE servers.id = leader.server_id"
)
Seen: TypeAlias = Callable[[str, Sequence[Peer]], None]


class Leadership:
    """This server's claim to lead; `wait` gets it, `keep` holds it, `release` gives it back.

    Args:
        backend: the database.
        server: who claims.
        now: monotonic seconds, which go on while the machine sleeps.
    """

    def __init__(
        self, backend: PostgresBackend, server: ServerIdentity, now: Callable[[], float]
    ) -> None:
        self.backend, self._server, self._now = backend, server, now
        self._until = self._tried = self._woke = float("-inf")
        self._asked = now()
        self._connection: psycopg.Connection[Any] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.epoch = 0
        self.others = 0  # servers that waited to lead at the last renewal

    @property
    def holds(self) -> bool:
        """Whether nobody else can lead now.

        Where nobody was waiting when the database was last heard, the lead is kept without a lease:
        it would be given up for no successor, however long the database does not answer. Not so if
        it is we who stood still: then somebody may have come, and a renewal has to tell.
        """
        now = self._asked_now()
        alone = self.epoch > 0 and not self.others and self._tried >= self._woke
        return now < self._until or alone

    @property
    def is_over(self) -> bool:
        """Whether another server may lead by now."""
        now = self._asked_now()
        return self.epoch == 0 or (self.others > 0 and now >= self._until)

    def _asked_now(self) -> float:
        """The time. A server that runs asks several times a second, so a gap says that it stood."""
        now = self._now()
        if now - self._asked > STOOD_S:
            self._woke = now
        self._asked = now
        return now

    # --- before
    def wait(self, give_up: threading.Event, seen: Seen) -> bool:
        """Waits until this server leads; false if it was given up before. For a thread.

        Args:
            give_up: set by whoever does not want it any more.
            seen: called again and again while another one leads: its address, whom it admits.
        """
        told = ""
        while not give_up.is_set():
            began = self._now()
            try:
                epoch = self.backend.try_lead(LEASE_S)
                if epoch is not None:
                    self.epoch, self._until, self._tried = epoch, began + LEASE_S, began
                    return True
                told = self._look(told, seen)
            except (psycopg.Error, OSError, StoreUnavailable) as error:
                self._close()
                text = str(error) if isinstance(error, StoreUnavailable) else why(error)
                if text != told:
                    log.error("database_out_of_reach reason=%r: trying again", text)
                    told = text
                give_up.wait(LOOK_S)
        self._close()
        return False

    def _look(self, told: str, seen: Seen) -> str:
        """Says that it waits, and does so until the leader goes or a while has passed."""
        connection = self._open()
        me = self._server
        connection.execute(_WAITS, (me.id, me.address, me.software, int(STANDBY_S * 1e6)))
        found = connection.execute(_LEADS).fetchone()
        who = "a server that is unknown" if found is None else f"{found[0]} at {found[1]}"
        if who != told:
            log.info("standby leader=%r: waiting to take over", who)
        seen("" if found is None else str(found[1]), read_peers(connection)[0])
        for _ in connection.notifies(timeout=LOOK_S, stop_after=1):
            log.info("leader_left leader=%r", who)
        return who

    # --- while it leads
    def keep(self, post: Post, lost: Callable[[NotLeader], None]) -> None:
        """Renews the lease from a thread of its own; `lost` is called on the loop, once."""
        gone = NotLeader(f"{self.backend.name}: another server has taken over")

        def renew() -> None:
            while not self._over.wait(RENEW_S):
                began = self._now()
                try:
                    if not self._renew():
                        with contextlib.suppress(RuntimeError):  # the loop is closed
                            post(lambda: lost(gone))
                        return
                except (psycopg.Error, OSError) as error:
                    log.warning("lease_not_renewed reason=%r", why(error))
                    self._close()
                # As of its beginning: an answer may be from before we stood still.
                self._tried = began

        self._asked = self._now()
        self._thread = threading.Thread(target=renew, name="boruta-lease", daemon=True)
        self._thread.start()

    def _renew(self) -> bool:
        began = self._now()
        asked = (int(LEASE_S * 1e6), self.epoch, self._server.id)
        found = self._open().execute(_RENEW, asked).fetchone()
        if found is None:
            self.epoch, self._until = 0, float("-inf")
            return False
        self._until, others = began + LEASE_S, int(found[0])
        if others != self.others:
            log.info("standbys count=%d", others)
            self.others = others
        return True

    def release(self, within_s: float) -> None:
        """Gives it back, so that another server leads at once; idempotent. May block."""
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.join(within_s)
        if not thread.is_alive() and self.epoch:
            with contextlib.suppress(psycopg.Error, OSError):
                connection = self._open()
                connection.execute(_RELEASE, (self.epoch,))
                connection.execute(f"NOTIFY {_CHANNEL}")
                log.info("lead_given_back epoch=%d", self.epoch)
        self.epoch, self._until = 0, float("-inf")
        self._close()

    # --- its connection
    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            connection = self.backend.connect()
            connection.execute(f"LISTEN {_CHANNEL}")
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

"""A database below the writer, by SQLAlchemy: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc

from boruta.domain.errors import InternalLogicError, NotLeader, StoreUnavailable
from boruta.domain.history import Event
from boruta.domain.types import ReqID, WorkerUUID
from boruta.store.backend import Entry, Image, ServerIdentity
from boruta.store.columns import JOBS, REQUESTS, WORKERS, Columns, micros, text
from boruta.store.history import events_of, read_history
from boruta.store.net import Net, Values
from boruta.store.seal import Seal
from boruta.store.statements import Run, Statement, Statements, quoted


class LogPlace(NamedTuple):
    """Under which lead a batch is written, and the positions of its first and last transaction."""

    leader_epoch: int
    first: int
    last: int


class SqlBackend(ABC):
    """`Backend` over one connection, which is opened anew after any error.

    Statements are made as text once, and run with plain tuples: a batch has thousands of rows, and
    a dictionary for each would take longer than the database does.
    """

    name: str
    lock: str  # what makes the fence wait for whoever may still commit (SAFETY, A11)
    integrity_error: type[Exception]  # the driver's own
    driver_error: type[Exception]
    xid: str  # what `changed_xid` becomes (SAFETY, E2)
    patience = ""  # what a transaction that only reads begins with

    def __init__(self, seal: Seal, server: ServerIdentity, utcnow: Callable[[], datetime]) -> None:
        self._seal, self._server, self._utcnow = seal, server, utcnow
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._statements = self.new_statements()
        self._fenced = (
            f"SELECT leader.epoch, leader.server_id, meta.position FROM leader, meta {self.lock}"
        )

    # --- what each of the two has of its own
    @abstractmethod
    def new_engine(self) -> sa.Engine:
        """An engine over the database."""

    @abstractmethod
    def reading_engine(self) -> sa.Engine:
        """An engine for whoever only reads: the writer does not wait for him."""

    def new_statements(self) -> Statements:
        """What it writes with."""
        return Statements(self.xid)

    @abstractmethod
    def _why(self, error: BaseException) -> str:
        """What is wrong, for a person."""

    def _look(self) -> None:  # noqa: B027 - most have nothing to look at
        """Raises StoreUnavailable if what it stands on is not there any more."""

    def interrupt(self) -> None:  # noqa: B027 - most cannot
        """Makes a call that hangs fail, where that is possible."""

    # --- connection and errors
    def _open(self) -> sa.Connection:
        if self._connection is None:
            if self._engine is None:
                self._engine = self.new_engine()
            self._connection = self._engine.connect()
        return self._connection

    def close(self) -> None:
        """Closes what is open; idempotent."""
        connection, self._connection = self._connection, None
        engine, self._engine = self._engine, None
        # What is closed after an error may well fail once more; it is gone all the same.
        with contextlib.suppress(Exception):
            if connection is not None:
                connection.invalidate()
        with contextlib.suppress(Exception):
            if engine is not None:
                engine.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self.foreign_errors():
            self._look()
            connection = self._open()
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def foreign_errors(self) -> Iterator[None]:
        """Errors of others end here, and the connection with them.

        Raises:
            NotLeader: a row that is unique was there: another server wrote.
            StoreUnavailable: anything else that the database says.
        """
        try:
            yield
        except (exc.IntegrityError, self.integrity_error) as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            raise NotLeader(f"{self.name}: another server wrote: {cause}") from error
        except (exc.SQLAlchemyError, self.driver_error, OSError) as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"{self.name}: {self._why(cause)}") from error
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def _cursor(self, connection: sa.Connection) -> Iterator[Any]:
        """The driver's own: through SQLAlchemy a small statement takes several times as long."""
        cursor = connection.connection.cursor()
        try:
            yield cursor
        except self.driver_error:
            # SQLAlchemy, which has not seen it, would roll back a connection that may be cut, and
            # SQLite keeps its lock as long as a statement is open.
            with contextlib.suppress(self.driver_error):
                cursor.close()
                connection.connection.rollback()
            self.close()
            raise
        else:
            cursor.close()

    # --- Backend
    def lead(self) -> int:
        """Takes the lead over whoever had it."""
        epoch = self._take_lead("epoch = epoch + 1, server_id = ?", (self._server.id,))
        assert epoch is not None
        return epoch

    def _take_lead(self, change: str, values: Values) -> int | None:
        started = micros(self._utcnow())
        me = self._server
        with self._transaction() as connection:
            if not self._once(connection, f"UPDATE leader SET {change}", values):
                return None
            self._once(
                connection,
                "INSERT INTO servers (id, epoch, address, started_at, software) "
                "VALUES (?, 1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET epoch = servers.epoch + 1, "
                "address = excluded.address, started_at = excluded.started_at, "
                "software = excluded.software",
                (me.id, me.address, started, me.software),
            )
            self._once(connection, "UPDATE meta SET store_key_id = ?", (self._seal.key_id,))
            return int(connection.exec_driver_sql("SELECT epoch FROM leader").scalar_one())

    def load(self) -> Image:
        """All that is kept."""
        lost: list[str] = []
        with self._transaction() as connection:
            if self.patience:
                connection.exec_driver_sql(self.patience)
            requests = self._rows(connection, REQUESTS)
            jobs = self._rows(connection, JOBS, "key_enc", "key", "request", lost)
            workers = self._rows(
                connection, WORKERS, "prepared_key_enc", "prepared_key", "worker", lost
            )
            found = connection.exec_driver_sql("SELECT last_id, last_seq, position FROM meta")
            last_id, last_seq, position = found.one()
            servers = connection.exec_driver_sql("SELECT id, epoch FROM servers").all()
        return Image(
            requests,
            jobs,
            workers,
            last_id,
            last_seq,
            position,
            {str(name): int(epoch) for name, epoch in servers},
            lost,
        )

    def _rows(
        self,
        connection: sa.Connection,
        columns: Columns[Any],
        sealed: str = "",
        key: str = "",
        what: str = "",
        lost: list[str] | None = None,
    ) -> list[Any]:
        names = columns.names
        asked = f"SELECT {', '.join(map(quoted, names))} FROM {columns.table} ORDER BY {names[0]}"
        at = names.index(sealed) if sealed else -1
        found = []
        for values in connection.exec_driver_sql(asked):
            try:
                row = columns.decode(values, self._seal)
            except Exception as error:
                raise StoreUnavailable(
                    f"{self.name}: {columns.table} {values[0]}: cannot be read "
                    f"({type(error).__name__}: {error}); boruta check-store tells what is wrong"
                ) from error
            if lost is not None and values[at] and not getattr(row, key):
                lost.append(f"{what} {values[0]}")
            found.append(row)
        return found

    def apply(self, batch: Sequence[Entry], first_position: int, leader_epoch: int) -> None:
        """Commits the batch as one transaction; one that is there already is left as it is."""
        last = batch[-1]
        runs = self._statements.of(
            Net(batch, self._seal, self._server.id),
            (last.position, last.last_id, last.last_seq),
            [self._event(event) for entry in batch for event in events_of(entry)],
        )
        with self._transaction() as connection:
            self._write(connection, runs, LogPlace(leader_epoch, first_position, last.position))

    def _write(self, connection: sa.Connection, runs: Sequence[Run], place: LogPlace) -> None:
        """Runs all if the batch's place in the log is free; nothing if it is there already."""
        if self._is_there(self._fence(connection, place.leader_epoch), place):
            return  # an earlier try was cut off after it had been committed
        for statement, rows in runs:
            self._counted(statement, rows, self._execute(connection, statement, rows))

    def _is_there(self, position: int, place: LogPlace) -> bool:
        """Whether the log has the batch.

        Raises:
            NotLeader: it has something else there.
        """
        if position not in (place.first - 1, place.last):
            raise NotLeader(
                f"{self.name}: another server wrote: the log stands at {position}, "
                f"not at {place.first - 1}"
            )
        return position == place.last

    def prune(self, before: datetime, keep: int, most: int, leader_epoch: int) -> int:
        """Deletes some of the oldest events."""
        with self._transaction() as connection:
            self._fence(connection, leader_epoch)
            newest = connection.exec_driver_sql("SELECT max(id) FROM events").scalar_one() or 0
            return self._once(
                connection,
                "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?) "
                "AND (at < ? OR id <= ?)",
                (most, micros(before), newest - keep),
            )

    def history(
        self, request: ReqID | None, worker: WorkerUUID | None, before: int | None, most: int
    ) -> Sequence[Event]:
        """The newest events; on a connection of its own, so from any thread."""
        try:
            engine = self.reading_engine()
            try:
                return read_history(
                    engine, request_id=request, worker_uuid=worker, before=before, most=most
                )
            finally:
                engine.dispose()
        except (exc.SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"{self.name}: {self._why(cause)}") from error

    def _fence(self, connection: sa.Connection, leader_epoch: int) -> int:
        """The position of the log; nobody else changes it before our transaction is over.

        Raises:
            NotLeader: another server has taken over.
        """
        with self._cursor(connection) as cursor:
            cursor.execute(self._fenced)
            return self._position(cursor.fetchone(), leader_epoch)

    def _position(self, fenced: tuple[Any, ...], leader_epoch: int) -> int:
        epoch, who, position = fenced
        if epoch != leader_epoch:
            raise NotLeader(f"{self.name}: server {who!r} has taken over (epoch {epoch})")
        return int(position)

    # --- statements
    def _event(self, event: Any) -> Values:
        at, kind, request_id, uuid, epoch, old, new, by, reason, _ = event
        uuid = None if uuid is None else text(uuid)
        return (
            micros(at), kind, request_id, uuid, epoch, old, new, text(by), text(reason),
            self._server.id,
        )  # fmt: skip

    def _counted(self, statement: Statement, rows: Sequence[Values], done: int) -> None:
        """Looks whether each of the rows changed one.

        Raises:
            NotLeader: it did not: the rev was not the one that was read, so another server wrote.
        """
        if statement.strict and done != len(rows):
            if done < 0:
                raise InternalLogicError(f"{self.name}: the driver does not count rows")
            raise NotLeader(
                f"{self.name}: another server wrote: {done} of {len(rows)} rows are as they were "
                f"({statement.what})"
            )

    def _execute(
        self, connection: sa.Connection, statement: Statement, rows: Sequence[Values]
    ) -> int:
        """Runs it for each of the rows; how many were changed."""
        with self._cursor(connection) as cursor:
            if len(rows) == 1:
                cursor.execute(statement.text, rows[0])
            else:
                cursor.executemany(statement.text, rows)
            return int(cursor.rowcount)

    def _once(self, connection: sa.Connection, text: str, values: Values) -> int:
        """Runs one that is no part of a batch; how many rows it changed."""
        with self._cursor(connection) as cursor:
            cursor.execute(text, values)
            return int(cursor.rowcount)

"""Files: how they are made, migrated, refused, copied and put back."""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from boruta.domain.errors import ActionRefused, NotFoundError, NotPermitted, StoreUnavailable
from boruta.domain.rows import Write
from boruta.lock import DataLock
from boruta.store.backup import EPOCHS_SKIPPED, backup, restore
from boruta.store.check import check
from boruta.store.files import make_file
from boruta.store.migrate import migrate, upgrade
from boruta.store.schema import SCHEMA, metadata
from boruta.store.sqlite import make_engine
from tests.store.kit import (
    NOW,
    Place,
    SqlitePlace,
    a_busy_farm,
    a_request,
    change,
    image,
    private_dir,
)


def test_the_migrations_make_just_what_the_code_expects(place: Place) -> None:
    engine = place.backend().new_engine()
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    mine = [one for one in found if "alembic_version" not in str(one)]
    assert mine == []


def test_the_file_and_what_is_beside_it_are_for_nobody_else(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in sqlite.data.glob("boruta.db*")}
    assert found == {"boruta.db": 0o600, "boruta.db-wal": 0o600, "boruta.db-shm": 0o600}


def test_a_file_that_others_can_read_is_refused(sqlite: SqlitePlace) -> None:
    sqlite.open().close()
    sqlite.file.chmod(0o640)
    with pytest.raises(NotPermitted, match="chmod 600"):
        sqlite.open()


def test_each_commit_is_on_the_disk_when_it_returns(sqlite: SqlitePlace) -> None:
    backend = sqlite.backend()
    with backend._transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    backend.close()


def older(file: Path) -> None:
    """The database that an older Boruta made."""
    make_file(file)
    engine = make_engine(file, {})
    with engine.begin() as connection:
        upgrade(connection, SCHEMA - 1)
    engine.dispose()


def test_an_older_schema_is_migrated_after_a_copy_was_made_of_it(sqlite: SqlitePlace) -> None:
    older(sqlite.file)
    change(sqlite.file, "UPDATE meta SET last_id = 41")
    store = sqlite.open()
    assert store.next_request() == 42
    kept = sqlite.data / f"boruta.db.before-{SCHEMA}"
    assert [one.code for one in check(kept)] == ["older"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert check(sqlite.file) == []


def test_a_migration_that_fails_leaves_the_tables_as_they_were(sqlite: SqlitePlace) -> None:
    older(sqlite.file)
    change(sqlite.file, "CREATE INDEX events_worker ON events (id)")
    with pytest.raises(StoreUnavailable, match="events_worker"):
        sqlite.open()
    assert [one.code for one in check(sqlite.file)] == ["older"]


def test_a_newer_schema_is_refused(place: Place) -> None:
    backend = place.backend()
    engine = backend.new_engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0099'")
    engine.dispose()
    backend.close()
    with pytest.raises(StoreUnavailable, match=r"a newer Boruta made it \(schema 99"):
        place.open()


def test_the_tables_of_something_else_are_left_alone(sqlite: SqlitePlace) -> None:
    make_file(sqlite.file)
    change(sqlite.file, "CREATE TABLE cookies (name)")
    with pytest.raises(StoreUnavailable, match="tables of something else: cookies"):
        sqlite.open()


@pytest.mark.parametrize("damage", ["head", "cut", "empty", "middle", "text"])
def test_a_damaged_file_is_refused_and_left_as_it_is(sqlite: SqlitePlace, damage: str) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    for _ in range(30):
        store.commit((Write(a_request(store, note="x" * 900), 0),))
    store.close()
    whole = sqlite.file.read_bytes()
    spoilt = {
        "head": secrets.token_bytes(100) + whole[100:],
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "middle": whole[:8192] + b"\xff" * (len(whole) - 12288) + whole[-4096:],
        "text": b"this is no database at all\n" * 100,
    }[damage]
    sqlite.file.write_bytes(spoilt)
    with pytest.raises(StoreUnavailable, match="check-store") as raised:
        sqlite.open()
    assert str(sqlite.file) in raised.value.message
    assert sqlite.file.read_bytes() == spoilt
    assert any(one.bad for one in check(sqlite.file))


def test_a_missing_file_whose_changes_are_still_there_is_not_made_anew(sqlite: SqlitePlace) -> None:
    (sqlite.data / "boruta.db-wal").write_bytes(b"changes")
    with pytest.raises(StoreUnavailable, match="put the file back"):
        sqlite.open()


def test_a_start_that_was_cut_off_is_begun_anew(sqlite: SqlitePlace) -> None:
    (sqlite.data / "boruta.db.new").write_bytes(b"half")
    assert sqlite.open().close()


def test_keys_are_sealed_at_rest_and_belong_to_their_row(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    store.close()
    for text in (b"private key text", b"prepared for"):
        assert not any(text in one.read_bytes() for one in sqlite.data.glob("boruta.db*"))
    change(
        sqlite.file,
        "UPDATE workers SET prepared_key_enc = (SELECT prepared_key_enc FROM workers "
        "WHERE uuid = 'b2') WHERE uuid = 'b1'",
    )
    again = sqlite.open()
    assert again.lost_keys == ("worker b1",)


def test_without_the_store_key_the_jobs_are_there_and_say_that_their_keys_are_lost(
    place: Place,
) -> None:
    store = place.open()
    a_busy_farm(store)
    kept = store.job(1)
    store.close()
    assert kept is not None
    (place.data / "keys/store.key").unlink()
    again = place.open()
    assert again.lost_keys == ("request 1", "worker b1", "worker b2")
    assert again.job(1) == kept._replace(key="")


def test_a_backup_of_a_database_that_is_written_is_as_it_was_at_one_instant(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    for _ in range(200):
        store.commit((Write(a_request(store), 0),))
    assert backup(sqlite.data, tmp_path / "copy.db") > 0
    sqlite.written(store)
    assert check(tmp_path / "copy.db") == []
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "data"]
    with pytest.raises(ActionRefused, match="a backup replaces none"):
        backup(sqlite.data, tmp_path / "copy.db")
    with pytest.raises(NotPermitted, match="cannot be written"):
        backup(sqlite.data, tmp_path / "no/such/place.db")
    with pytest.raises(NotFoundError, match="pg_dump"):
        backup(tmp_path, tmp_path / "other.db")


def test_what_was_restored_goes_on_with_ids_and_epochs_that_nobody_has(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    kept = image(store)
    backup(sqlite.data, tmp_path / "copy.db")
    later = a_request(store)
    store.commit((Write(later, 0),))
    store.close()
    moved = restore(tmp_path / "copy.db", sqlite.data, sqlite.clock)
    assert moved is not None
    assert check(moved) == check(sqlite.file) == []
    again = sqlite.open()
    assert again.request(later.id) is None
    assert again.next_request() == kept[3] + 1_000_000 + 1
    assert again.leader_epoch > store.leader_epoch + EPOCHS_SKIPPED - 2
    lent, free = again.workers()
    # The job goes on under its epoch; the free board's key has long been another one.
    assert (lent.server_epoch, lent.board_epoch) == (EPOCHS_SKIPPED, 1)
    assert (free.server_epoch, free.board_epoch) == (3 + EPOCHS_SKIPPED, 5 + EPOCHS_SKIPPED)
    assert free.prepared_key == ""
    assert again.job(1) == kept[1][0]
    assert again.commit((Write(free._replace(rev=free.rev + 1), free.rev),)) is None


def test_a_restore_into_an_empty_place_and_from_an_older_schema(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    older(tmp_path / "old.db")
    data = private_dir(tmp_path / "new")
    assert restore(tmp_path / "old.db", data, sqlite.clock) is None
    assert check(data / "boruta.db") == []
    assert sorted(one.name for one in data.iterdir()) == ["boruta.db", "keys", "lock"]


def test_nothing_is_restored_while_a_server_runs_or_from_ruins(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    backup(sqlite.data, tmp_path / "copy.db")
    store.close()
    before = sqlite.file.read_bytes()
    lock = DataLock(sqlite.data)
    with pytest.raises(ActionRefused, match="another server"):
        restore(tmp_path / "copy.db", sqlite.data, sqlite.clock)
    lock.release()
    change(tmp_path / "copy.db", "UPDATE requests SET state = 'ASLEEP' WHERE id = 2")
    with pytest.raises(StoreUnavailable, match="damaged: request 2"):
        restore(tmp_path / "copy.db", sqlite.data, sqlite.clock)
    with pytest.raises(NotFoundError):
        restore(tmp_path / "none.db", sqlite.data, sqlite.clock)
    assert sqlite.file.read_bytes() == before


def test_a_damaged_database_is_replaced_by_a_restore_and_kept(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    backup(sqlite.data, tmp_path / "copy.db")
    store.close()
    sqlite.file.write_bytes(b"ruins")
    (sqlite.data / "boruta.db-wal").write_bytes(b"more ruins")
    moved = restore(tmp_path / "copy.db", sqlite.data, lambda: NOW)
    assert moved == sqlite.data / "backups/boruta.db.before-restore-20260102T030405"
    assert moved.read_bytes() == b"ruins"
    assert moved.with_name(f"{moved.name}-wal").read_bytes() == b"more ruins"
    assert check(sqlite.file) == []


def test_a_migration_of_nothing_makes_everything_in_one_transaction(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    make_file(file)
    engine = make_engine(file, {})
    migrate(engine, "it", lambda _: None)
    engine.dispose()
    assert check(file) == []


def test_a_server_that_was_killed_finds_what_lies_beside_its_file(
    sqlite: SqlitePlace, tmp_path: Path
) -> None:
    store = sqlite.open()
    a_busy_farm(store)
    sqlite.written(store)
    # What a power loss leaves: the shared memory is not on the disk.
    after = SqlitePlace(private_dir(tmp_path / "after"))
    for name in ("boruta.db", "boruta.db-wal", "keys/store.key"):
        (after.data / name).write_bytes((sqlite.data / name).read_bytes())
        (after.data / name).chmod(0o600)
    assert (after.data / "boruta.db-wal").stat().st_size > 0
    assert check(after.file) == []
    backup(after.data, tmp_path / "copy.db")
    assert image(after.open()) == image(store)
    after.close()

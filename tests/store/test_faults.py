"""A database that is unwell: the reason is told, nothing is lost, and it heals by itself."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boruta.domain.errors import StoreUnavailable
from boruta.domain.rows import Write
from boruta.store.durable import DurableStore
from tests.store.kit import Place, SqlitePlace, a_request, a_worker, image

MORE_PAGES = 100_000


def is_ill(store: DurableStore, reason: str) -> Callable[[], bool]:
    """Whether it says so."""
    return lambda: store.unwell is not None and reason in store.unwell.message


def heals(place: Place, store: DurableStore) -> None:
    """All that was committed meanwhile is written, and nothing else has happened."""
    place.loop.run_until(lambda: store.unwell is None and store.written == store.position)
    kept = image(store)
    assert store.close()
    assert image(place.open()) == kept


def a_large_request(store: DurableStore) -> None:
    """One that needs pages of its own."""
    assert store.commit((Write(a_request(store, note="n" * 20_000), 0),)) is None


def test_a_full_disk(sqlite: SqlitePlace) -> None:
    below = sqlite.backend()
    store = sqlite.open(below)
    told: list[str] = []
    store.on_health(lambda: told.append("ill" if store.unwell else "well"))
    below.meddle(max_page_count=sqlite.query("PRAGMA page_count")[0][0])
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "the disk is full"))
    assert store.commit((Write(a_worker(), 0),)) is None
    assert store.written == 0
    below.meddle(max_page_count=MORE_PAGES)
    heals(sqlite, store)
    assert told == ["ill", "well"]


def test_a_read_only_file_system(sqlite: SqlitePlace) -> None:
    below = sqlite.backend()
    store = sqlite.open(below)
    below.meddle(query_only=1)
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "it is read-only"))
    below.meddle(query_only=0)
    heals(sqlite, store)


def test_another_program_that_has_it_locked(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    other = sqlite3.connect(sqlite.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "another program has it locked"))
    other.execute("ROLLBACK")
    other.close()
    heals(sqlite, store)


def test_a_file_that_is_taken_away_and_put_back(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    elsewhere = sqlite.data / "elsewhere"
    sqlite.file.rename(elsewhere)
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "the file was removed"))
    assert not sqlite.file.exists()
    elsewhere.rename(sqlite.file)
    heals(sqlite, store)


def test_another_file_in_its_place_is_never_written(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    elsewhere = sqlite.data / "elsewhere"
    sqlite.file.rename(elsewhere)
    sqlite.file.write_bytes(elsewhere.read_bytes())
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "another file was put in its place"))
    elsewhere.rename(sqlite.file)
    heals(sqlite, store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB; only root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "none", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    place = SqlitePlace(small_disk)
    (small_disk / "keys").mkdir(mode=0o700)
    store = place.open()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    a_large_request(store)
    place.loop.run_until(lambda: store.unwell is not None)
    assert store.unwell is not None
    assert "the disk" in store.unwell.message
    ballast.unlink()
    heals(place, store)
    place.close()


def test_a_database_that_does_not_answer_is_unwell_though_the_writer_hangs(
    sqlite: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    below, gate = sqlite.backend(), threading.Event()
    store = sqlite.open(below)
    apply = below.apply

    def hang(*words: object) -> None:
        assert gate.wait(20)
        apply(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(below, "apply", hang)
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "it has not answered for 0.4 s"))
    gate.set()
    heals(sqlite, store)


def test_past_its_bound_no_request_is_taken_but_what_runs_goes_on(sqlite: SqlitePlace) -> None:
    below = sqlite.backend()
    store = sqlite.open(below, most=3)
    told: list[bool] = []
    store.on_health(lambda: told.append(store.full))
    board = a_worker()
    assert store.commit((Write(board, 0),)) is None
    sqlite.written(store)
    below.meddle(query_only=1)
    for rev in range(2, 5):
        assert store.commit((Write(board._replace(rev=rev), rev - 1),)) is None
    assert store.full
    with pytest.raises(StoreUnavailable, match="too many changes wait"):
        store.commit((Write(a_request(store), 0),))
    assert store.commit((Write(board._replace(rev=5), 4),)) is None
    below.meddle(query_only=0)
    sqlite.written(store)
    assert not store.full
    assert store.commit((Write(a_request(store), 0),)) is None
    assert told[0] is True
    assert told[-1] is False


def test_a_store_that_is_closed_while_it_is_unwell_says_that_not_all_was_written(
    sqlite: SqlitePlace,
) -> None:
    below = sqlite.backend()
    store = sqlite.open(below)
    below.meddle(query_only=1)
    a_large_request(store)
    sqlite.loop.run_until(is_ill(store, "read-only"))
    assert not store.close(0.1)
    assert sqlite.open().requests() == []


def test_a_call_back_that_fails_costs_the_others_nothing(sqlite: SqlitePlace) -> None:
    store = sqlite.open()
    told: list[str] = []

    def fails() -> None:
        raise RuntimeError

    a_large_request(store)
    store.when_written(store.position, lambda: told.append("first"))
    store.when_written(store.position, fails)
    store.when_written(store.position, lambda: told.append("last"))
    store.when_written(0, lambda: told.append("at once"))
    sqlite.written(store)
    assert told == ["at once", "first", "last"]

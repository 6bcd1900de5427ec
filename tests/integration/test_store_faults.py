"""A database that is locked, stopped or killed, under a real server: jobs go on, it heals."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, lab
from tests.integration.unwell import QUIET, Heal, goes_through_it
from tests.store.conftest import postgres as postgres
from tests.store.postgres import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lab]:
    """A lab without a server yet."""
    with lab(tmp_path) as made:
        yield made


def locked(farm: Lab) -> Heal:
    """Another program is in the middle of writing to the file."""
    other = sqlite3.connect(farm.data / "boruta.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def test_a_file_that_another_program_has_locked(place: Lab) -> None:
    place.start_server(*QUIET)
    place.start_boards(2, "-c", "arch=armv7l")
    goes_through_it(place, lambda: locked(place))


def test_a_postgresql_that_stands_still_and_one_that_is_killed(
    place: Lab, postgres: Postgres
) -> None:
    words = ("--database", postgres.url(postgres.new_database()))
    place.start_server(*QUIET, *words)
    place.start_boards(2, "-c", "arch=armv7l")

    def stopped() -> Heal:
        postgres.signal_all(signal.SIGSTOP)
        return lambda: postgres.signal_all(signal.SIGCONT)

    def killed() -> Heal:
        postgres.stop(signal.SIGQUIT)
        return postgres.start

    goes_through_it(place, stopped, words)
    for req_id in place.boruta("requests", "-o", "id").split():
        place.boruta("close", req_id)
    goes_through_it(place, killed, words)

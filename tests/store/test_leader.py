"""What a server may still do when the database of its lease does not answer, or it stood still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from boruta.store import leader
from boruta.store.backend import ServerIdentity
from boruta.store.leader import LEASE_S, STOOD_S, Leadership

WITHIN_S = 10.0


class Hanging:
    """A database that answers each renewal when the test says so, and its one connection."""

    name = "a database"

    def __init__(self) -> None:
        self.begun, self._answers = threading.Semaphore(0), threading.Semaphore(0)
        self.others = 0

    def try_lead(self, lease_s: float) -> int:
        return 1

    def connect(self) -> Hanging:
        return self

    def execute(self, statement: str, words: object = ()) -> Any:
        if statement.startswith("UPDATE leader SET lease_until = (extract"):
            self.begun.release()
            assert self._answers.acquire(timeout=WITHIN_S)
        return self

    def fetchone(self) -> tuple[int]:
        return (self.others,)

    def close(self) -> None:
        pass

    # --- for the test
    def asked(self) -> None:
        """Waits for the next renewal, which is not answered yet."""
        assert self.begun.acquire(timeout=WITHIN_S)

    def answer(self) -> None:
        """Answers one; returns when the next has been asked for."""
        self._answers.release()
        self.asked()

    def answer_all(self) -> None:
        self._answers.release(1_000_000)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database() -> Hanging:
    return Hanging()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lead(database: Hanging, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leadership]:
    """A server that leads and is about to renew its lease; no answer comes."""
    monkeypatch.setattr(leader, "RENEW_S", 0.001)
    made: Any = database
    lead = Leadership(made, ServerIdentity("s1"), clock)
    assert lead.wait(threading.Event(), lambda *_: None)
    lead.keep(lambda fn: fn(), lambda why: None)
    database.asked()
    yield lead
    database.answer_all()
    lead.release(WITHIN_S)


def runs_for(seconds: float, lead: Leadership, clock: Clock) -> list[bool]:
    """What a server finds that asks each second."""
    found = []
    for _ in range(round(seconds)):
        clock.now += 1.0
        found.append(lead.holds and not lead.is_over)
    return found


def test_who_is_alone_leads_on_however_long_the_database_hangs(
    lead: Leadership, clock: Clock
) -> None:
    assert all(runs_for(600, lead, clock))


def test_who_is_waited_for_leads_no_longer_than_his_lease(
    lead: Leadership, database: Hanging, clock: Clock
) -> None:
    database.others = 1
    database.answer()
    found = runs_for(2 * LEASE_S, lead, clock)
    assert found.count(True) == LEASE_S - 1
    assert lead.is_over


def test_who_stood_still_says_nothing_until_a_renewal_that_began_since(
    lead: Leadership, database: Hanging, clock: Clock
) -> None:
    database.answer()
    clock.now += LEASE_S + STOOD_S
    assert not lead.holds
    database.answer()  # of the time before: nobody waited then
    assert not lead.holds
    database.answer()
    assert lead.holds

"""The public fakes keep to the ports that they stand for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from actors.runtime import SimDispatcher
from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    Done,
    EndSession,
    Healthcheck,
    Lease,
    Prepare,
    PrepareDone,
    Registered,
)
from boruta.domain.errors import (
    BorutaError,
    Busy,
    InfraError,
    StaleEpoch,
    TimedOut,
    Unreachable,
)
from boruta.domain.ports import Access, Clock, DryadPort, Endpoint
from boruta.domain.types import Epoch, WorkerInfo, WorkerState
from boruta.testing import FakeAccess, FakeDryad, Manner, ManualClock

PREPARE = Prepare(Epoch(1, 1), "ssh-ed25519 AAAA", 60.0)


class Bench:
    """An agent on virtual time, and what it answered."""

    def __init__(self) -> None:
        self.turns = SimDispatcher()
        self.agent = FakeDryad(self.turns, {"UUID": "board-1", "arch": "arm"})
        self.port: DryadPort = self.agent
        self.answers: list[CommandReply | BorutaError] = []

    def send(self, command: Command, within_s: float = 10.0) -> None:
        self.port.send(command, within_s, self.answers.append)
        assert self.answers == []  # never in the same turn
        self.turns.run_until_idle()

    def kinds(self) -> list[type]:
        return [type(answer) for answer in self.answers]


def test_an_agent_prepares_at_once_and_remembers_the_key() -> None:
    bench = Bench()
    bench.send(PREPARE)
    assert bench.answers == [PrepareDone("boruta-user", bench.agent.host_keys)]
    assert bench.agent.commands == bench.agent.sent(Prepare) == [PREPARE]
    assert (bench.agent.key, bench.agent.epoch) == (PREPARE.key, Epoch(1, 1))
    assert bench.agent.registration().epoch == Epoch(1, 1)


def test_a_lease_is_kept_until_the_session_ends() -> None:
    bench = Bench()
    lease = Lease(Epoch(1, 1), 7, 60.0, 1)
    bench.send(lease)
    assert (bench.kinds(), bench.agent.lease) == ([Done], lease)
    bench.answers.clear()
    bench.send(EndSession(Epoch(1, 1), "closed"))
    assert bench.agent.lease is None


def test_an_older_epoch_is_stale_as_with_a_real_agent() -> None:
    bench = Bench()
    bench.agent.registered(Registered(WorkerInfo("board-1", WorkerState.IDLE), Epoch(2, 1)))
    bench.send(PREPARE)
    assert bench.kinds() == [StaleEpoch]
    assert bench.agent.key == ""


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        (Manner(fail=InfraError("the card is broken")), InfraError),
        (Manner(stale=True), StaleEpoch),
        (Manner(delay_s=3.0), PrepareDone),
        (Manner(delay_s=11.0), TimedOut),
        (Manner(silent=True), TimedOut),
    ],
)
def test_an_agent_answers_in_the_manner_it_is_told(manner: Manner, kind: type) -> None:
    bench = Bench()
    bench.agent.manners["prepare"] = manner
    bench.send(PREPARE)
    bench.turns.advance(2.9)
    assert bench.kinds() == ([] if manner.delay_s or manner.silent else [kind])
    bench.turns.advance(20.0)
    assert bench.kinds() == [kind]
    bench.answers.clear()
    bench.send(Healthcheck())  # other commands are answered as ever
    assert bench.kinds() == [Checks]


def test_a_cut_connection_answers_everything_with_unreachable() -> None:
    bench = Bench()
    bench.agent.manner.silent = True
    bench.send(PREPARE)
    bench.port.cut("another agent has this UUID")
    bench.port.cut("again")
    assert bench.kinds() == [Unreachable]
    assert bench.agent.cut_for == "another agent has this UUID"
    bench.answers.clear()
    bench.send(PREPARE)
    assert bench.kinds() == [Unreachable]


def test_a_restarted_agent_kept_nothing_but_its_epoch() -> None:
    bench = Bench()
    bench.send(PREPARE)
    before = bench.agent.registration()
    bench.agent.reconnect(restarted=True)
    after = bench.agent.registration()
    assert bench.agent.key == ""
    assert after.session != before.session
    assert after.epoch == before.epoch


@pytest.mark.parametrize("alive", [True, False])
def test_a_ping_tells_the_living_from_the_dead(alive: bool) -> None:
    bench = Bench()
    bench.agent.alive = alive
    heard: list[bool] = []
    bench.port.ping(2.0, heard.append)
    bench.turns.run_until_idle()
    bench.turns.advance(2.0)
    assert heard == [alive]


def test_ways_to_boards_are_reserved_opened_and_closed_once() -> None:
    fake = FakeAccess()
    access: Access = fake
    one, two = access.reserve(), access.reserve()
    assert one != two
    access.open(one, "10.0.0.1:22", label="7")
    assert fake.opened == {one: "10.0.0.1:22"}
    access.close(one)
    access.close(one)
    assert (fake.opened, fake.reserved) == ({}, {two})
    assert access.reserve() != one  # a port never comes again: a stale one is noticed
    access.open(Endpoint("h", 1), "x", label="8")  # of an earlier life: reserved again
    assert Endpoint("h", 1) in fake.reserved
    fake.full = fake.broken = True
    with pytest.raises(Busy):
        access.reserve()
    with pytest.raises(Busy):
        access.open(two, "x", label="9")
    fake.close_all()
    assert fake.reserved == set()


def test_time_moves_only_when_told_to_and_never_back() -> None:
    manual = ManualClock()
    clock: Clock = manual
    before = clock.utcnow()
    manual.advance(90)
    assert (clock.now(), clock.utcnow() - before) == (90.0, timedelta(seconds=90))
    with pytest.raises(ValueError, match="backwards"):
        manual.advance(-1)

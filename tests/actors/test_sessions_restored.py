"""What bound requests become when the server is started again: their clients have a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from boruta.domain import defaults
from boruta.domain.commands import KeptJob
from boruta.domain.errors import Unreachable
from boruta.domain.types import Caller, ReqState, Role, UserInfo
from boruta.store.memory import MemoryStore
from boruta.testing.dryad import FakeDryad
from tests.actors.farm import ADMIN, LAB, SimFarm

CLIENT = Caller("alice", Role.USER, session=b"x" * 16)  # nobody else comes back with this one
BOSS = Caller("admin", Role.ADMIN, session=b"y" * 16)


def restarted(store: MemoryStore) -> SimFarm:
    """Another life of the server, on the same store."""
    return SimFarm(store=store)


def before() -> SimFarm:
    farm = SimFarm()
    for caller in (CLIENT, BOSS):
        farm.front.session_opened(caller)
    return farm


def test_a_bound_request_ends_when_its_client_does_not_come_back_after_a_restart() -> None:
    old = before()
    bound, free = old.new(by=CLIENT, bound=True), old.new(by=CLIENT)
    farm = restarted(old.store)
    farm.advance(defaults.START_CLIENT_LEASE_S - 1)
    assert farm.state(bound) is ReqState.WAIT
    farm.advance(2)
    assert farm.info(bound).reason_code == "client_lost"
    assert farm.state(free) is ReqState.WAIT


def test_a_client_that_comes_back_after_a_restart_keeps_what_it_holds_until_it_leaves() -> None:
    old = before()
    bound = old.new(by=CLIENT, bound=True)
    farm = restarted(old.store)
    farm.advance(5)
    assert farm.front.session_opened(CLIENT)
    farm.advance(1000)
    assert farm.state(bound) is ReqState.WAIT
    farm.front.session_lost(CLIENT)
    farm.advance(defaults.CLIENT_LEASE_S + 1)
    assert farm.info(bound).reason_code == "client_lost"


def test_an_admin_who_comes_back_keeps_what_he_holds_for_somebody_else() -> None:
    old = before()
    bound = old.new(by=BOSS, owner=UserInfo("alice"), bound=True)
    farm = restarted(old.store)
    assert farm.front.session_opened(BOSS)
    farm.advance(1000)
    assert farm.state(bound) is ReqState.WAIT
    farm.close(bound, by=ADMIN)
    assert farm.state(bound) is ReqState.CANCEL


def test_the_token_of_a_request_that_is_over_binds_nothing() -> None:
    farm = before()
    bound = farm.new(by=CLIENT, bound=True, token="t")
    farm.close(bound)
    assert farm.new(by=CLIENT, bound=True, token="t") == bound
    assert farm.system.sessions._holder == {}


def test_a_job_is_not_prolonged_after_a_restart_before_its_board_is_back() -> None:
    old = before()
    dryad = old.board("b1")
    held = old.new(by=CLIENT)
    farm = restarted(old.store)
    with pytest.raises(Unreachable):
        farm.call(farm.front.requests(CLIENT).prolong_access(held))
    assert "out of reach" in farm.info(held).reason
    agent = FakeDryad(farm.sim, dryad.caps)
    agent.epoch = dryad.epoch
    said = replace(agent.registration(), job=KeptJob(held, dryad.epoch.board, 3000.0, 1))
    farm.call(farm.front.superviser(LAB).register(said, agent))
    farm.sim.run_until_idle()
    assert farm.call(farm.front.requests(CLIENT).prolong_access(held)).prolongs_left == 9

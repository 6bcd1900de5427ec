"""Ended requests are kept, within a bound."""

from __future__ import annotations

import pytest

from boruta.domain import defaults
from boruta.domain.errors import NotFoundError
from boruta.domain.types import ReqState
from tests.actors.farm import SimFarm


def test_the_oldest_ended_requests_are_forgotten_and_live_ones_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "ENDED_KEPT", 3)
    farm = SimFarm()
    waits = farm.new()
    ended = [farm.new() for _ in range(5)]
    for req_id in ended:
        farm.close(req_id)
    assert [row.id for row in farm.store.requests()] == [waits, *ended[2:]]
    with pytest.raises(NotFoundError):
        farm.info(ended[0])
    assert farm.state(waits) is ReqState.WAIT
    assert farm.new() == ended[-1] + 1  # an id does not come again


def test_one_whose_session_may_be_alive_is_kept_until_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "ENDED_KEPT", 1)
    farm = SimFarm()
    dryad = farm.board("b1")
    held = farm.new()
    farm.lose(dryad)
    farm.close(held)
    for _ in range(3):
        farm.close(farm.new())
    assert farm.store.request(held) is not None
    farm.come_back(dryad)
    farm.close(farm.new())
    farm.close(farm.new())
    assert farm.store.request(held) is None
    assert len(farm.store.requests()) == 1

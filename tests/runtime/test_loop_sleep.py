"""Timers on a loop whose machine sleeps: its own clock stands still meanwhile, ours does not."""

from __future__ import annotations

import threading

import pytest

from actors.runtime import loop, monotonic
from tests.runtime.runtimes import WITHIN_S, running_loop


def test_a_timer_goes_off_soon_after_a_sleep_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept = 0.0
    monkeypatch.setattr(loop, "monotonic", lambda: monotonic() + slept)
    monkeypatch.setattr(loop, "LONGEST_SLEEP_S", 0.01)
    with running_loop() as (_, dispatcher):
        rang, looked = threading.Event(), threading.Event()
        dispatcher.call_later(3600.0, rang.set)
        dispatcher.call_later(0.05, looked.set)
        assert looked.wait(WITHIN_S)
        assert not rang.is_set()
        slept = 3600.0
        assert rang.wait(WITHIN_S)

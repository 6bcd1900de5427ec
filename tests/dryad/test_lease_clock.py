"""The agent's real clock: it looks again, since the loop's timers sleep with the machine."""

from __future__ import annotations

import asyncio
import time

import pytest

from dryad import clock
from dryad.clock import BootClock, boot_id


def test_an_alarm_that_is_due_already_goes_off_on_the_loop_not_inside_the_call() -> None:
    async def story() -> None:
        rang = asyncio.Event()
        boot = BootClock()
        boot.call_at(boot.now() - 5, rang.set)
        assert not rang.is_set()
        await asyncio.wait_for(rang.wait(), 5)

    asyncio.run(story())


def test_an_alarm_follows_the_boot_clock_over_a_sleep_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "LOOK_AGAIN_S", 0.01)
    slept = 0.0

    class Sleeper(BootClock):
        def now(self) -> float:
            return super().now() + slept

    async def story() -> None:
        nonlocal slept
        rang = asyncio.Event()
        boot = Sleeper()
        boot.call_at(boot.now() + 3600, rang.set)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rang.wait(), 0.05)
        slept = 3600.0
        await asyncio.wait_for(rang.wait(), 5)

    asyncio.run(story())


def test_the_agent_s_seconds_go_on_while_the_machine_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept = {time.CLOCK_BOOTTIME: 5000.0}
    monkeypatch.setattr(time, "clock_gettime", lambda which: slept.get(which, 0.0))
    assert BootClock().now() == 5000.0


def test_a_cancelled_alarm_does_not_go_off() -> None:
    async def story() -> None:
        rang = asyncio.Event()
        boot = BootClock()
        boot.call_at(boot.now(), rang.set).cancel()
        await boot.sleep(0.02)
        assert not rang.is_set()

    asyncio.run(story())


def test_a_boot_has_a_name() -> None:
    assert boot_id()
    assert boot_id() == boot_id()

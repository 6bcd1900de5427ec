"""What Pykka's own test suite gets in the place of its ThreadingActor.

`pykka_suite` lets the suite's conftest import `runtime` and `mocker` from here, in a process where
`tests` is Pykka's package, not ours.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from actors.runtime import Flag, Future, LoopActor, LoopDispatcher, SimDispatcher
from tests.types import Runtime  # type: ignore[import-not-found]  # Pykka's


def _new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
    return asyncio.new_event_loop()


@pytest.fixture(scope="session")
def runtime() -> Iterator[Any]:
    """Our actor type on the dispatcher that BORUTA_PYKKA_RUNTIME names."""
    name = os.environ["BORUTA_PYKKA_RUNTIME"]
    if name == "simulated":
        sim = SimDispatcher(seed=int(os.environ.get("BORUTA_SEED", "0")))

        class SimEvent(Flag):
            def __init__(self) -> None:
                super().__init__(sim)

        class SimFuture(Future):
            def __init__(self, dispatcher: object = None) -> None:
                super().__init__(sim)

        yield Runtime(name, LoopActor.bound(sim), SimEvent, SimFuture, sim.sleep)
        return
    loop = _new_loop(name)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    dispatcher = LoopDispatcher(loop)
    yield Runtime(name, LoopActor.bound(dispatcher), threading.Event, Future, time.sleep)
    dispatcher.stop_all()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Mocker:
    """The little of pytest-mock that the suite uses."""

    Mock = mock.Mock
    MagicMock = mock.MagicMock
    NonCallableMock = mock.NonCallableMock

    class patch:
        """Patches until the test ends."""

        started: list[Any] = []  # noqa: RUF012

        @classmethod
        def object(cls, *args: Any, **kwargs: Any) -> Any:
            """As `unittest.mock.patch.object`."""
            patcher = mock.patch.object(*args, **kwargs)
            cls.started.append(patcher)
            return patcher.start()


@pytest.fixture
def mocker() -> Iterator[type[Mocker]]:
    """Stands for pytest-mock's fixture."""
    yield Mocker
    while Mocker.patch.started:
        Mocker.patch.started.pop().stop()

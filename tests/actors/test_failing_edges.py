"""What stands between users and actors fails once in the middle: nothing hangs, nothing is lost.

The same hour as in `test_lost_messages`; here a method of the edge raises, before it has done its
work or after.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from typing import Any, Final

import pytest

from actors.api import RequestsApi
from actors.directory import Directory, Permits
from actors.journal import Journal
from actors.sessions import Sessions
from actors.workers_api import SuperviserApi, WorkersApi
from boruta.testing.dryad import FakeDryad
from tests.actors import test_lost_messages as lost
from tests.actors.farm import SimFarm

pytestmark = pytest.mark.timeout(60)
EDGES: Final = (
    RequestsApi, WorkersApi, SuperviserApi, Directory, Permits, Sessions, Journal,
)  # fmt: skip
MOST: Final = 3  # so many calls of one method are tried, one in each story


class Insistent:
    """What asks or tells once more where it met a failure, as users and the transport do."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)

        def call(*args: Any, **more: Any) -> Any:
            for _ in range(2):
                with contextlib.suppress(RuntimeError):
                    return found(*args, **more)
            return found(*args, **more)

        return call if callable(found) else found


class Story(lost.Story):
    """The same hour, told by people who look again where they were shown an error."""

    def __init__(self) -> None:
        super().__init__()
        farm = self.farm
        for name in ("info", "worker"):
            setattr(farm, name, getattr(Insistent(farm), name))
        farm.front = Insistent(farm.front)  # type: ignore[assignment]


def methods(kind: type[Any]) -> list[str]:
    """What can fail in it."""
    return [
        name
        for name, found in vars(kind).items()
        if inspect.isfunction(found) and name != "__init__"
    ]


def fails(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], name: str, number: int, after: bool
) -> list[str]:
    """The `number`th call of a method raises; what is returned says whether it came to that."""
    real, calls, planted = getattr(kind, name), 0, []

    def breaks() -> bool:
        nonlocal calls
        calls += 1
        if calls == number:
            planted.append(name)
        return calls == number

    if inspect.iscoroutinefunction(real):

        async def later(self: Any, *args: Any, **more: Any) -> Any:
            broken = breaks()
            found = None if broken and not after else await real(self, *args, **more)
            if broken:
                raise RuntimeError(f"planted in {name}")
            return found

        monkeypatch.setattr(kind, name, later)
    else:

        def now(self: Any, *args: Any, **more: Any) -> Any:
            broken = breaks()
            found = None if broken and not after else real(self, *args, **more)
            if broken:
                raise RuntimeError(f"planted in {name}")
            return found

        monkeypatch.setattr(kind, name, now)
    return planted


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", EDGES, ids=lambda kind: kind.__name__)
def test_a_method_of_the_edge_that_fails_once_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any, after: bool
) -> None:
    caplog.set_level(logging.CRITICAL)
    troubles, tried = [], 0
    for name in methods(kind):
        for number in range(1, MOST + 1):
            story = Story()
            with monkeypatch.context() as patch:
                planted = fails(patch, kind, name, number, after)
                try:
                    story.tell()
                except Exception as error:
                    troubles.append(f"{name} {number}: {error!r}"[:220])
            tried += bool(planted)
    assert tried > 2
    assert not troubles, "\n".join(troubles)


def test_a_registration_outlives_the_actor_that_failed_at_its_beginning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    farm = SimFarm()
    planted = fails(monkeypatch, Permits, "give_back", 1, after=False)
    assert farm.register(FakeDryad(farm.sim, {"UUID": "b1"})).first
    assert planted

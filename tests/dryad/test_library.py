"""An asyncssh that is missing or too old is told before anybody is let in."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from boruta.domain.errors import BadConfig
from dryad.sessions import library
from dryad.sessions.embedded import EmbeddedSessions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that is looked into first, without an asyncssh that is loaded already."""
    monkeypatch.delitem(sys.modules, "asyncssh", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def put(place: Path, version: str) -> None:
    (place / "asyncssh").mkdir()
    (place / "asyncssh" / "__init__.py").touch()
    (place / "asyncssh" / "version.py").write_text(f"__version__ = '{version}'\n")


@pytest.mark.parametrize("version", ["2.23.1", "2.24.0", "3.0"])
def test_a_recent_one_will_do(installed: Path, version: str) -> None:
    put(installed, version)
    assert library.check() == version


@pytest.mark.parametrize("version", ["2.10.1", "2.23.0", "2.9"])
def test_an_old_one_is_refused_with_what_is_here_what_is_wanted_and_what_does_without(
    installed: Path, version: str
) -> None:
    put(installed, version)
    with pytest.raises(BadConfig) as refused:
        library.check()
    for wanted in (f"asyncssh {version} is here", "2.23.1 or later", 'sessions = "system"'):
        assert wanted in refused.value.message


def test_one_whose_version_nobody_can_read_is_old(installed: Path) -> None:
    put(installed, "unknown")
    with pytest.raises(BadConfig, match="asyncssh 0 is here"):
        library.check()


def test_one_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(BadConfig, match=r"asyncssh is missing.*2\.23\.1"):
        library.check()


async def _start(data: Path) -> None:
    sessions = EmbeddedSessions(address="127.0.0.1:0", data=data, username="holder")
    try:
        await sessions.start()
    finally:
        await sessions.stop()


def test_an_agent_with_an_old_one_does_not_start(installed: Path) -> None:
    put(installed, "2.10.1")
    with pytest.raises(BadConfig, match="is here, want"):
        asyncio.run(_start(installed))
    assert not (installed / "host_key").exists()


def test_what_is_wanted_is_what_the_distribution_asks_for() -> None:
    wanted = ".".join(map(str, library.OLDEST))
    assert f"asyncssh>={wanted}\n" in (ROOT / "setup.cfg").read_text()

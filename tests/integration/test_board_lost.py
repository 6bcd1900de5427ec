"""Boards whose agents do not come back within the grace: who held them is told, and they return."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, alive, lab
from tests.integration.unwell import QUIET, Session

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
GRACE_S = 3.0
SILENT_S = 15.0  # an agent that stands still has a connection, and is missed by its beats


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose server waits only so long for an agent."""
    config = tmp_path / "boruta.toml"
    config.write_text(f'[workers]\ngrace = "{GRACE_S:g}s"\n')
    with lab(tmp_path) as made:
        made.start_server(*QUIET, "--config", str(config))
        yield made


def test_an_agent_that_dies_and_one_that_stands_still_lose_their_jobs_and_come_back_clean(
    place: Lab,
) -> None:
    dies = place.start_boards(1, "-c", "arch=dies")
    stops = place.start_boards(1, "-c", "arch=stops")
    held = place.boruta("request", "-c", "arch=dies")
    place.boruta("wait", held)
    session = Session(place, held)
    place.boruta("exec", held, "--", "touch left")
    runs = place.start(
        "boruta", "--data", str(place.data), "run", "-c", "arch=stops", "--",
        "touch left; setsid sleep 1000 >/dev/null 2>&1 & echo $!; sleep 1000",
    )  # fmt: skip
    place.until(lambda: place.said(runs).strip(), "it runs")
    daemon = int(place.said(runs))
    stops.send_signal(signal.SIGSTOP)
    dies.kill()

    place.until(lambda: place.request(held)["state"] == "FAILED", "it is given up", GRACE_S + 5)
    found = place.request(held)
    assert found["reason_code"] == "board_lost"
    assert "out of reach for too long" in found["reason"]
    session.ends()
    assert place.uuids(place.start_boards(1, "-c", "arch=dies")) == place.uuids(dies)
    left = place.run("run", "-c", "arch=dies", "--", "test -e left")
    assert left.returncode == 1, "it was made clean"

    place.until(lambda: runs.poll() is not None, "who waits is told", SILENT_S + GRACE_S + 5)
    assert runs.returncode == 125
    assert "out of reach for too long" in place.said(runs, "err")
    assert alive(daemon), "nobody is there to end what he left"
    following = place.boruta("request", "-c", "arch=stops")
    assert place.request(following)["state"] == "WAITING", "nobody gets it meanwhile"
    stops.send_signal(signal.SIGCONT)
    place.boruta("wait", following)
    assert not alive(daemon), "it is lent when nothing of the session before is left"
    assert place.run("exec", following, "--", "test -e left").returncode == 1, "it was made clean"

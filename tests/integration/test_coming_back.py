"""A server that was killed and is started again: what went on, what passed, who is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.lab import Lab, free_port, lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
AWAY_S = 5.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lab]:
    """A lab without a server yet."""
    with lab(tmp_path) as made:
        yield made


def start(farm: Lab) -> None:
    """The server, each time with the same configuration."""
    file = farm.place / "boruta.toml"
    if not file.exists():
        first = free_port()
        file.write_text(
            f'[server]\nbind = "127.0.0.1:{free_port()}"\ntunnel_ports = "{first}-{first + 9}"\n'
        )
    farm.start_server("--config", str(file))


def lent(farm: Lab, arch: str, *words: str) -> str:
    """A request that holds a board, whose access was given."""
    req_id = farm.boruta("request", "-c", f"arch={arch}", *words)
    farm.boruta("wait", req_id)
    farm.boruta("exec", req_id, "--", "touch left")
    return req_id


def state(farm: Lab, req_id: str) -> tuple[str, str]:
    """Its state, and why."""
    found = farm.request(req_id)
    return found["state"], found["reason_code"]


def test_what_went_on_and_what_passed_while_the_server_was_away(place: Lab) -> None:
    start(place)
    place.start_boards(1, "-c", "arch=stays")
    place.start_boards(1, "-c", "arch=ends")
    gone = place.start_boards(1, "-c", "arch=goes")
    stays = lent(place, "stays")
    access = json.loads(place.boruta("acquire", stays, "-o", "json"))
    lost = lent(place, "goes")
    ends = lent(place, "ends", "--for", f"{AWAY_S:g}s")
    began = time.monotonic()
    late = place.boruta("request", "-c", "arch=stays", "--deadline", "+4s")
    last = place.boruta("request", "-c", "arch=ends", "--priority", "9")
    waits, bound = (
        place.start("boruta", "--data", str(place.data), "request", "-c", "arch=ends", *words)
        for words in (
            ("--wait", "--after", "+4s", "--priority", "2"), ("--bound", "--priority", "10"),
        )
    )  # fmt: skip
    place.until(lambda: place.said(waits).strip() and place.said(bound).strip(), "both are queued")
    early, mine = place.said(waits).strip(), place.said(bound).strip()

    place.kill_server()
    gone.kill()
    gone.wait()
    while time.monotonic() < began + AWAY_S + 0.5:
        time.sleep(0.05)  # what is waited for is the time itself
    start(place)

    # The job that went on: the same access, with what the holder has there.
    again = json.loads(place.boruta("acquire", stays, "-o", "json"))
    assert all(again[word] == access[word] for word in ("host", "port", "key"))
    place.until(
        lambda: place.run("exec", stays, "--", "test -e left").returncode == 0, "its board is back"
    )
    # What passed: the end of a job, a deadline, a time from which on to wait.
    place.until(lambda: state(place, ends) == ("DONE", "time_up"), "its time was up")
    assert state(place, late) == ("TIMEOUT", "deadline")
    place.until(lambda: waits.poll() is not None, "who waited is told")
    assert waits.returncode == 0
    assert state(place, early)[0] == "IN PROGRESS"
    assert place.run("exec", early, "--", "test -e left").returncode == 1, "it was made clean"
    # Who is bound to a client that lives keeps his place, behind the others.
    assert state(place, last)[0] == "WAITING"
    assert state(place, mine)[0] == "WAITING"
    place.boruta("close", early)
    place.boruta("wait", last)
    assert state(place, mine)[0] == "WAITING"
    # Who comes back with nothing of his job left.
    assert state(place, lost)[0] == "IN PROGRESS", "it has three minutes after a start"
    place.start_boards(1, "-c", "arch=goes")
    assert state(place, lost) == ("FAILED", "board_lost")
    fresh = place.boruta("request", "-c", "arch=goes")
    place.boruta("wait", fresh)
    assert place.run("exec", fresh, "--", "test -e left").returncode == 1, "it was made clean"
    assert place.end(bound) == 128 + 15

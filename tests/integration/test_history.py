"""Who did what to what, as `boruta history` tells it, also after a kill of the server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


def _told(farm: Lab, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(farm.boruta(*words, "-o", "json"))
    return found


def test_the_history_of_a_request_and_of_its_board_outlives_kill_and_removal(farm: Lab) -> None:
    (uuid,) = farm.uuids(farm.start_boards(1, "-c", "arch=armv7l"))
    req_id = farm.boruta("request", "-c", "arch=armv7l", "--note", "a bisect")
    farm.boruta("acquire", req_id)
    farm.boruta("prolong", req_id)
    url = farm.url
    farm.kill_server()
    farm.start_server("--bind", url)
    farm.boruta("close", req_id)
    farm.until(
        lambda: "job.over" in [one["kind"] for one in _told(farm, "history", req_id)],
        "the session on the board is over",
    )
    told = _told(farm, "history", req_id)
    told = [one for one in told if one["kind"] != "worker.state"]  # how the board went along
    assert [(one["kind"], one["new_state"], one["by"]) for one in told] == [
        ("request.created", "WAITING", "local"),
        ("request.state", "IN PROGRESS", ""),
        ("job.acquired", "", "local"),
        ("job.prolonged", "", "local"),
        ("request.state", "DONE", "local"),
        ("job.over", "", ""),
    ]
    assert told[0]["reason"] == "a bisect"
    assert {one["worker"] for one in told[1:4]} == {uuid}
    farm.boruta("worker", "maintenance", uuid, "--reason", "new card")
    farm.boruta("worker", "deregister", uuid)
    of_board = _told(farm, "worker", "history", uuid)
    assert of_board[0]["kind"] == "worker.registered"
    # Its agent goes on, so it is there again in a moment.
    (removed,) = [one for one in of_board if one["kind"] == "worker.removed"]
    assert removed["by"] == "local"
    busy = next(one for one in of_board if one["new_state"] == "BUSY")
    assert (busy["by"], "new card" in busy["reason"]) == ("local", True)
    assert len(_told(farm, "history", uuid, "--limit", "2")) == 2
    table = farm.boruta("history", req_id)
    assert "WAITING > IN PROGRESS" in table


def test_what_has_no_history_is_not_found_and_memory_keeps_none(farm: Lab) -> None:
    done = farm.run("history", "77")
    assert (done.returncode, done.stderr) == (
        3, "boruta: nothing is known of request 77   [not_found]\n",
    )  # fmt: skip
    url = farm.url
    farm.kill_server()
    farm.start_server("--bind", url, "--database", "memory:")
    done = farm.run("history", "77")
    assert done.returncode == 5
    assert "keeps no history" in done.stderr

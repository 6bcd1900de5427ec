"""Verbs for requests, against a real farm in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.boruta.typed import Lab, lab

WHERE = ("WORKER", "/", "WHY")


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with lab() as made:
        yield made


@pytest.fixture
def farm(shared: Lab) -> Iterator[Lab]:
    yield shared
    shared.closed()


def test_request_prints_the_bare_id_and_the_rest_on_stderr(farm: Lab) -> None:
    done = farm("request", "-c", "arch=armv7l", "--note", "bisecting")
    assert re.fullmatch(r"\d+\n", done.out)
    req_id = done.out.strip()
    assert f"boruta wait {req_id}" in done.err
    assert farm("show", req_id, "-o", "json").json["note"] == "bisecting"


def test_request_as_json_is_one_object(farm: Lab) -> None:
    done = farm("request", "-c", "arch=armv7l", "--for", "1h30m", "-o", "json")
    assert done.json["job_timeout_s"] == 5400
    assert done.json["caps"] == {"arch": "armv7l"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--priority", "0"], "priority_out_of_bounds"),
        (["--priority", "17"], "priority_out_of_bounds"),
        (["--deadline", "2020-01-01T00:00:00Z"], "deadline_past"),
        (["--after", "+2h", "--deadline", "+1h"], "time_range_illegal"),
        (["--for", "48h"], "bad_time"),
        (["--note", "x" * 2000], "too_large"),
        (["-c", "big=" + "x" * 2000], "too_large"),
    ],
)
def test_a_bad_request_is_refused_with_its_code(farm: Lab, words: list[str], code: str) -> None:
    done = farm("request", "-c", "arch=armv7l", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(f"[{code}]\n")


def test_what_runs_is_shown_in_all_three_forms(farm: Lab) -> None:
    req_id = farm.held("--note", "mine")
    table = farm("requests").out.splitlines()
    assert table[0].split() == ["ID", "STATE", "PRIO", "OWNER", "SINCE", "UNTIL", *WHERE, "NOTE"]
    assert farm.boards[0] in table[1]
    assert table[1].endswith("mine")
    assert farm("requests", "-o", "id").out == f"{req_id}\n"
    (found,) = farm("requests", "-o", "json").json
    assert found["created"].endswith("Z")
    assert found == farm("show", req_id, "-o", "json").json
    assert found["job"]["worker_uuid"] == farm.boards[0]
    assert farm("who", "-o", "json").json == [found]
    assert farm("who").out.splitlines()[1].split()[:3] == ["local", req_id, farm.boards[0]]


def test_an_empty_list_is_an_empty_array(farm: Lab) -> None:
    assert farm("requests", "-o", "json").json == []
    assert farm("requests", "-o", "id").out == ""


def test_lists_are_chosen_from(farm: Lab) -> None:
    running = farm.held()
    waiting = farm("request", "-c", "arch=armv7l", "--priority", "3").out.strip()

    def listed(*words: str) -> list[str]:
        return farm("requests", "-o", "id", *words).out.split()

    assert listed("--state", "waiting") == [waiting]
    assert listed("--state", "In-Progress") == listed("--state", "IN PROGRESS") == [running]
    assert listed("--priority", "3") == [waiting]
    assert listed("--owner", "nobody") == []
    assert listed("--mine") == [running, waiting]
    assert listed("--sort", "priority") == [waiting, running]
    assert listed("--desc") == [waiting, running]
    assert listed("--limit", "1") == [running]
    assert "1 more" in farm("requests", "--limit", "1").err
    farm("close", waiting)
    assert waiting not in listed()
    assert waiting in listed("--all")
    assert listed("--state", "cancelled")[-1] == waiting


def test_what_waits_says_why_and_who_holds_it(farm: Lab) -> None:
    running = farm.held()
    waiting = farm("request", "-c", "arch=armv7l").out.strip()
    said = farm("show", waiting).out
    assert "all_busy" in said
    assert f"{running} by local on {farm.boards[0]} until" in said
    done = farm("wait", waiting, "--timeout", "0.1")
    assert done.status == 6
    assert f"{running} by local" in done.err


def test_wait_tells_by_its_status_how_it_went(farm: Lab) -> None:
    running = farm.held()
    assert farm("wait", running).status == 0
    late = farm("request", "-c", "arch=armv7l", "--deadline", "+0.3s").out.strip()
    assert farm("wait", late).status == 6
    cancelled = farm("request", "-c", "arch=armv7l").out.strip()
    assert farm("cancel", cancelled).status == 0
    done = farm("wait", cancelled)
    assert (done.status, done.out) == (5, "")
    assert "CANCELLED: cancelled by local" in done.err
    farm("release", running)
    assert farm("wait", running).status == 0  # DONE


def test_a_board_that_is_taken_away_fails_the_request(farm: Lab) -> None:
    running = farm.held()
    farm("worker", "maintenance", farm.boards[0], "--reason", "new card")
    done = farm("wait", running)
    assert done.status == 8
    assert "new card" in done.err
    assert farm("worker", "enable", farm.boards[0]).status == 0


def test_what_no_board_can_ever_serve_says_so(farm: Lab) -> None:
    req_id = farm("request", "-c", "arch=vax").out.strip()
    assert "nobody" in farm("show", req_id).out
    assert farm("show", req_id, "-o", "json").json["queue"]["why_code"] == "nobody_has_it"


def test_acquire_prints_how_to_reach_the_board(farm: Lab) -> None:
    req_id = farm.held()
    access = farm("acquire", req_id, "-o", "json").json
    assert list(access) == ["host", "port", "username", "key", "host_keys", "expires"]
    assert access["key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert access["key"].strip() in farm("acquire", req_id).out
    assert farm("acquire", req_id, "-o", "id").out == f"{req_id}\n"


def test_prolong_tells_the_new_end(farm: Lab) -> None:
    req_id = farm.held()
    first = farm("prolong", req_id, "-o", "json").json
    second = farm("prolong", req_id, "-o", "json").json
    assert second["prolongs_left"] == first["prolongs_left"] - 1
    assert second["timeout"] > first["timeout"]
    assert "prolongs left" in farm("prolong", req_id).out


def test_a_refusal_names_the_next_step(farm: Lab) -> None:
    running = farm.held()
    waiting = farm("request", "-c", "arch=armv7l").out.strip()
    done = farm("prolong", waiting)
    assert done.status == 5
    assert "acquire waits for a board" in done.err
    done = farm("update", running, "--priority", "2")
    assert (done.status, done.err.endswith("[action_refused]\n")) == (5, True)
    farm("close", running)
    done = farm("close", running)
    assert done.status == 5
    assert "nothing to close" in done.err


def test_update_changes_what_waits_and_shows_it(farm: Lab) -> None:
    farm.held()
    waiting = farm("request", "-c", "arch=armv7l").out.strip()
    found = farm("update", waiting, "--priority", "2", "--after", "+1h", "-o", "json").json
    assert found["priority"] == 2
    assert found["queue"]["why_code"] == "not_valid_yet"
    assert "priority       4" in farm("update", waiting, "--priority", "4").out


def test_close_takes_several_and_goes_on_after_a_refusal(farm: Lab) -> None:
    first, second = farm.held(), farm("request", "-c", "arch=armv7l").out.strip()
    done = farm("close", first, "99999", second)
    assert done.status == 3
    assert "request 99999 not found" in done.err
    assert farm("requests", "-o", "id").out == ""


def test_unknown_ids_are_not_found(farm: Lab) -> None:
    words = (
        ["show", "99999"], ["wait", "99999"], ["acquire", "99999"], ["prolong", "99999"],
        ["close", "99999"], ["update", "99999", "--priority", "2"], ["exec", "99999", "true"],
        ["ssh", "99999"], ["ssh-config", "99999"], ["get", "99999", "f"],
        ["forward", "99999", "80"],
    )  # fmt: skip
    for one in words:
        assert farm(*one).status == 3, one


def test_what_belongs_to_others_is_seen_but_not_touched(farm: Lab) -> None:
    req_id = farm.held("--note", "mine")
    assert farm.as_user("eve", "show", req_id).status == 0
    for verb in ("acquire", "prolong", "close", "ssh-config"):
        done = farm.as_user("eve", verb, req_id)
        assert done.status == 4, verb
        assert "belongs to 'local'" in done.err
        assert "PRIVATE KEY" not in done.out
    assert farm.as_user("eve", "worker", "maintenance", farm.boards[0]).status == 4
    assert farm.as_user("eve", "requests", "--mine", "-o", "json").json == []


def test_a_bound_request_lives_until_its_end(farm: Lab) -> None:
    done = farm("request", "-c", "arch=armv7l", "--bound", "--for", "0.3")
    assert done.status == 0
    assert re.fullmatch(r"\d+\n", done.out)
    assert "DONE: the job's time is up" in done.err

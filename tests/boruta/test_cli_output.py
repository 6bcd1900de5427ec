"""Tables, fields and JSON: what is shown of requests and workers, and on which width."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from boruta.cli import output as out
from boruta.cli import talk
from boruta.domain.types import (
    Capabilities,
    JobInfo,
    QueueInfo,
    ReqInfo,
    ReqState,
    UserInfo,
    WorkerInfo,
    WorkerState,
)

UUID = "4d66c36d-aac2-4262-8b4a-61e8a51c543a"
AT = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
HELD = ReqInfo(
    17,
    8,
    UserInfo("alice", ("lab",)),
    note="bisecting",
    caps=Capabilities({"arch": "armv7l"}),
    state=ReqState.INPROGRESS,
    created=AT,
    started=AT,
    job_timeout_s=5400.0,
    job=JobInfo(UUID, AT, 3),
)
WAITS = ReqInfo(
    18, 2, state=ReqState.WAIT, created=AT, queue=QueueInfo(2, 61.0, "all are held", "all_busy")
)


def test_a_request_as_json_has_the_fields_of_the_contract() -> None:
    found = out.request_json(HELD)
    names = (
        "id priority owner note caps valid_after deadline job_timeout_s bound state reason "
        "reason_code created started ended prolongs_left job queue"
    )
    assert list(found) == names.split()
    assert found["owner"] == {"name": "alice", "groups": ["lab"]}
    assert found["state"] == "IN PROGRESS"
    assert found["created"] == "2026-05-01T10:00:00.250000Z"
    assert found["job"] == {
        "worker_uuid": UUID, "timeout": "2026-05-01T10:00:00.250000Z", "epoch": 3,
    }  # fmt: skip
    assert found["queue"] is None
    waits = out.request_json(WAITS)
    assert set(waits["queue"]) == {"position", "estimate_s", "why", "why_code", "holders"}
    assert waits["job"] is None


def test_a_worker_as_json_has_the_fields_of_the_contract() -> None:
    found = out.worker_json(WorkerInfo(UUID, WorkerState.IDLE, since=AT))
    names = "worker_uuid state groups caps reason reason_code online since last_seen request"
    assert list(found) == names.split()
    assert found["since"] == "2026-05-01T10:00:00.250000Z"
    assert found["last_seen"] is None


def test_times_for_people_are_utc_and_short() -> None:
    now = datetime.now(UTC)
    assert out.stamp(AT) == "2026-05-01 10:00:00Z"
    assert out.brief(now) == f"{now:%H:%M:%S}Z"
    assert out.brief(now + timedelta(days=400)) == f"{now + timedelta(days=400):%Y-%m-%d}"
    assert out.brief(None) == out.stamp(None) == "-"


def test_a_row_says_where_it_runs_or_why_it_waits_or_ended() -> None:
    assert UUID in out.request_row(HELD)
    assert "#2: all are held" in out.request_row(WAITS)
    ended = ReqInfo(19, state=ReqState.FAILED, reason="board lost", ended=AT)
    assert "board lost" in out.request_row(ended)


ROWS = [[UUID, "IDLE", "a" * 40, "note"], [UUID, "FAILED", "", ""]]
HEAD = ("WORKER", "STATE", "CAPS", "NOTE")


def test_in_a_pipe_nothing_is_cut_or_coloured() -> None:
    lines = out.table_lines(HEAD, ROWS, width=None, colour=False)
    assert "a" * 40 in lines[1]
    assert lines[2].split() == [UUID, "FAILED", "-", "-"]
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("width", range(1, 120, 7))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = out.table_lines(HEAD, ROWS, width=width, colour=False)
    assert max(map(len, lines)) <= width


def test_the_widest_cells_give_way_before_what_names_the_row() -> None:
    lines = out.table_lines(HEAD, ROWS, width=70, colour=False)
    assert lines[1].startswith(UUID)
    assert "a…" in lines[1]
    assert lines[1].endswith("note")


def test_states_are_coloured_and_nothing_else_is() -> None:
    rows = [["IDLE tools", "IDLE", "IDLE", ""]]
    (line,) = out.table_lines(("A", "STATE", "C", "D"), rows, width=80, colour=True)[1:]
    assert line.startswith("IDLE tools  \x1b[32mIDLE")


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    evil = "x\x1b[2J\r\n\u202ey"
    lines = out.table_lines(("A", "B"), [[evil, evil]], width=None, colour=False)
    assert len(lines) == 2
    assert all(character.isprintable() for line in lines for character in line)
    assert talk.clean("ä ✓") == "ä ✓"


def test_nor_can_the_fields_of_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    out.fields([("note", "x\x1b[2J\nstate  DONE\u202e"), ("reason", "")])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()


def test_json_for_a_terminal_is_harmless_and_still_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = {"note": "\x9b31m \u202e \U000e0001 \udcff ä \x1b"}
    out.print_json(value, line=True)
    said = capsys.readouterr().out
    assert said.rstrip("\n").isprintable()
    assert "ä" in said
    assert json.loads(said) == value


def test_what_is_said_to_a_person_is_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    talk.tell("request 1 is FAILED: x\nboruta: done\x1b]0;owned\x07")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()


def test_one_request_shows_why_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    out.print_request(WAITS, "table")
    said = capsys.readouterr().out
    assert "all are held  [all_busy]" in said
    assert "1m1s" in said
    out.print_request(HELD, "id")
    assert capsys.readouterr().out == "17\n"

"""Waiting: what is shown, what a restart of the server does to it, and when it ends."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from boruta.cli import talk
from boruta.cli.news import LinkNews, link_news
from boruta.cli.waiting import (
    MOST_HELD,
    Progress,
    Same,
    fitted,
    reason_line,
    until_changed,
    until_served,
    within,
)
from boruta.domain.errors import Busy, NotFoundError, TimedOut, Unreachable
from boruta.domain.types import QueueInfo, ReqInfo, ReqState

UUID = "4d66c36d-aac2-4262-8b4a-61e8a51c543a"
AT = datetime(2026, 5, 1, tzinfo=UTC)
QUEUE = QueueInfo(2, 90.0, "both are held", "all_busy", (f"3 by eve on {UUID} until 10:00:00Z",))
WAITS = ReqInfo(7, 8, created=AT, queue=QUEUE)
SERVED = replace(WAITS, state=ReqState.INPROGRESS, queue=None)


class FakeClient:
    """Answers with the given infos, one after the other, and then with the last."""

    def __init__(self, *answers: ReqInfo | Exception) -> None:
        self._answers = list(answers)
        self.subscribed = 0
        self.refuses = False
        self.told: Callable[[object], None] = lambda _: None
        self.asked = threading.Event()

    def get_request_info(self, req_id: int) -> ReqInfo:
        self.asked.set()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        # Each look is told of, or the test would wait for the next one.
        self.told(None)
        return answer

    def subscribe(self, deliver: Callable[[object], None], **chosen: Any) -> FakeClient:
        if self.refuses:
            raise Busy("too many")
        self.subscribed += 1
        self.told = deliver
        return self

    def close(self) -> None:
        self.subscribed -= 1


def served(client: FakeClient, timeout: float | None = 5.0) -> ReqInfo:
    return until_served(client, 7, timeout)  # type: ignore[arg-type]


def test_what_is_served_already_needs_no_watching() -> None:
    client = FakeClient(SERVED)
    assert served(client) is SERVED


def test_waiting_ends_with_the_board_and_watches_no_more() -> None:
    client = FakeClient(WAITS, WAITS, SERVED)
    assert served(client) is SERVED
    assert client.subscribed == 0


def test_waiting_in_vain_says_why_it_still_waits() -> None:
    with pytest.raises(TimedOut, match=r"still waits after 0.05s: #2 .* both are held .* eve"):
        served(FakeClient(WAITS), 0.05)


def test_one_with_too_many_watchers_looks_for_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boruta.cli.waiting.LOOK_S", 0.01)
    client = FakeClient(WAITS, WAITS, SERVED)
    client.refuses = True
    assert served(client) is SERVED


def test_a_server_that_lost_the_request_ends_the_waiting() -> None:
    with pytest.raises(NotFoundError, match="does not know request 7 any more: it was restarted"):
        served(FakeClient(WAITS, WAITS, NotFoundError("request 7 not found")))


def test_another_request_with_the_same_number_is_not_taken_for_ours() -> None:
    other = replace(SERVED, created=AT + timedelta(seconds=9))
    with pytest.raises(NotFoundError, match="does not know request 7 any more"):
        served(FakeClient(WAITS, WAITS, other))


def test_a_request_that_never_was_is_simply_not_found() -> None:
    with pytest.raises(NotFoundError, match=r"^request 7 not found$"):
        served(FakeClient(NotFoundError("request 7 not found")))


def test_a_server_out_of_reach_does_not_stretch_the_time_given() -> None:
    over = threading.Event()

    class Away(FakeClient):
        def get_request_info(self, req_id: int) -> ReqInfo:
            if self.asked.is_set():
                over.wait(20)
                raise Unreachable("away")
            return super().get_request_info(req_id)

    client = Away(WAITS)
    try:
        with pytest.raises(TimedOut, match=r"still waits after 0.1s"):
            served(client, 0.1)
    finally:
        over.set()


def test_within_hands_on_results_and_errors() -> None:
    def late() -> TimedOut:
        return TimedOut("late")

    def fails() -> int:
        raise Unreachable("away")

    assert within(5.0, lambda: 3, late) == 3
    assert within(None, lambda: 3, late) == 3
    with pytest.raises(Unreachable):
        within(5.0, fails, late)


def test_waiting_for_the_end_goes_on_through_the_job() -> None:
    done = replace(SERVED, state=ReqState.DONE)
    client = FakeClient(WAITS, SERVED, SERVED, done)
    same = Same(client, 7)  # type: ignore[arg-type]
    found = until_changed(same, client, lambda info: info.state.ended, 5.0)  # type: ignore[arg-type]
    assert found is done


def test_why_it_waits_has_position_estimate_reason_and_holders() -> None:
    line = reason_line(WAITS)
    for part in ("#2 in the queue", "about 1m30s", "both are held", "3 by eve on"):
        assert part in line
    assert reason_line(SERVED) == "IN PROGRESS"


def test_a_narrow_terminal_shortens_the_names_of_boards_first() -> None:
    text = f"held: 3 by eve on {UUID} until 10:00:00Z"
    assert fitted(text, 100) == text
    assert fitted(text, 50) == "held: 3 by eve on 4d66c36d until 10:00:00Z"
    assert fitted(text, 20) == "held: 3 by eve on 4…"


def test_the_waiting_lines_name_the_holders_but_not_a_crowd_of_them() -> None:
    progress = Progress()
    progress.say("request 7: #2", *(f"{n} by eve" for n in range(MOST_HELD + 3)))
    lines = progress.lines(80)
    assert "request 7: #2" in lines[0]
    assert lines[1] == "    0 by eve"
    assert lines[-1] == "    and 3 more"
    assert max(map(len, progress.lines(20))) < 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_waiting_line_goes_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("boruta.cli.waiting.TURN_S", 0.01)
    terminal, pause = Terminal(), threading.Event()
    with redirect_stderr(terminal), Progress() as progress:
        progress.say("request 7: #2")
        end = time.monotonic() + 10
        while "request 7: #2" not in terminal.getvalue() and time.monotonic() < end:
            pause.wait(0.01)
        talk.tell("boruta: the server is back")
    said = terminal.getvalue()
    assert "request 7: #2" in said
    assert f"{talk.ERASE}boruta: the server is back\n" in said
    assert said.endswith(talk.ERASE)


def test_in_a_pipe_waiting_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    served(FakeClient(WAITS, WAITS, SERVED))
    assert capsys.readouterr() == ("", "")


def _news() -> tuple[logging.Logger, list[str]]:
    said: list[str] = []
    log = logging.Logger("boruta.link")
    log.addHandler(LinkNews(said.append))
    return log, said


def test_a_lost_connection_is_told_once_and_its_return_too() -> None:
    log, said = _news()
    log.info("link_up server=%s kept=%s", "tcp://x", False)
    log.warning("link_down server=%s: %s", "tcp://x", "the connection was lost")
    log.warning("link_down server=%s: %s", "tcp://x", "nothing answers")
    log.info("link_up server=%s kept=%s", "tcp://x", True)
    assert said == [
        "boruta: the connection was lost; trying again",
        "boruta: the server is back",
    ]


def test_what_a_first_attempt_meets_is_left_to_the_error() -> None:
    log, said = _news()
    log.warning("link_down server=%s: %s", "tcp://x", "nothing answers")
    log.info("link_up server=%s kept=%s", "tcp://x", False)
    assert said == []


def test_logs_of_the_library_stay_off_the_person_s_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    link, root = logging.getLogger("boruta.link"), logging.getLogger()
    before = (link.level, list(link.handlers), list(root.handlers))
    with link_news():
        link.warning("link_down server=%s: %s", "tcp://x", "nothing answers")
        logging.getLogger("boruta.reservation").warning("release_late")
    assert capsys.readouterr().err == ""
    assert (link.level, link.handlers, root.handlers) == before

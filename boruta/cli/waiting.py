"""Waiting for a request to get a board: what stands in the way is shown on a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from boruta.cli.output import clean
from boruta.domain.durations import format_duration
from boruta.domain.errors import TimedOut
from boruta.domain.types import ReqInfo, ReqState

if TYPE_CHECKING:
    from boruta.client import Client

SPIN: Final = "|/-\\"
TURN_S: Final = 0.15
LOOK_S: Final = 2.0  # so often the reason is read anew, also if no change was told


def reason_line(info: ReqInfo) -> str:
    """Why it waits, in one line."""
    queue = info.queue
    if queue is None:
        return info.state.value
    parts = [f"#{queue.position} in the queue", queue.why]
    if queue.holders:
        parts.append("held: " + "; ".join(queue.holders))
    if queue.estimate_s is not None:
        parts.append(f"about {format_duration(round(queue.estimate_s))}")
    return clean(" - ".join(part for part in parts if part))


class Progress:
    """One line on a terminal's stderr that turns; in a pipe nothing at all."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._text = ""
        self._turn = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """What is shown from now on."""
        self._text = text

    def _run(self) -> None:
        while not self._over.wait(TURN_S):
            self._turn += 1
            width = max(20, shutil.get_terminal_size().columns)
            line = f"{SPIN[self._turn % len(SPIN)]} {self._text}"[: width - 1]
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        if self._shows:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def until_changed(
    client: Client,
    req_id: int,
    enough: Callable[[ReqInfo], bool],
    timeout: float | None = None,
) -> ReqInfo:
    """Waits until the request is as `enough` wants it; shows why it waits meanwhile.

    Args:
        client: whom to ask.
        req_id: the request.
        enough: whether it is as it should be.
        timeout: seconds; None waits for ever.

    Raises:
        TimedOut: it was not in time.
    """
    changed = threading.Event()
    end = None if timeout is None else time.monotonic() + timeout
    watch = client.subscribe(lambda _: changed.set(), requests=[req_id])
    try:
        with Progress() as progress:
            while True:
                changed.clear()
                info = client.get_request_info(req_id)
                if enough(info):
                    return info
                progress.say(reason_line(info))
                left = LOOK_S if end is None else min(LOOK_S, end - time.monotonic())
                if left <= 0:
                    raise TimedOut(
                        f"request {req_id} still waits after {format_duration(timeout or 0)}: "
                        f"{reason_line(info)}",
                        id=req_id,
                    )
                changed.wait(left)
    finally:
        watch.close()


def until_served(client: Client, req_id: int, timeout: float | None = None) -> ReqInfo:
    """Waits until the request no longer waits."""
    return until_changed(client, req_id, lambda info: info.state is not ReqState.WAIT, timeout)

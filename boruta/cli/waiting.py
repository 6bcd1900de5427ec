"""Waiting for a request to get a board: what stands in the way is shown on a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from boruta.cli.talk import ERASE, clean, stderr_lock, waiting_line
from boruta.domain.durations import format_duration
from boruta.domain.errors import Busy, NotFoundError, TimedOut
from boruta.domain.types import ReqInfo, ReqState

if TYPE_CHECKING:
    from boruta.client import Client
    from boruta.domain.changes import Change

T = TypeVar("T")
SPIN: Final = "|/-\\"
TURN_S: Final = 0.15
MOST_HELD: Final = 4  # holders shown; more would not be read
LOOK_S: Final = 2.0  # so often the reason is read anew, also if no change was told
_UUID: Final = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def reason_line(info: ReqInfo) -> str:
    """Why it waits, in one line."""
    first, *held = reason_lines(info)
    return first if not held else f"{first} - held: {'; '.join(held)}"


def reason_lines(info: ReqInfo) -> list[str]:
    """Why it waits, and a line for each of those who hold what fits."""
    queue = info.queue
    if queue is None:
        return [info.state.value]
    parts = [f"#{queue.position} in the queue"]
    if queue.estimate_s is not None:
        parts.append(f"about {format_duration(round(queue.estimate_s))}")
    parts.append(queue.why)
    return [clean(" - ".join(part for part in parts if part)), *map(clean, queue.holders)]


def fitted(text: str, width: int) -> str:
    """The line as it fits on a terminal: what names boards gives way before what tells."""
    if len(text) > width:
        text = _UUID.sub("\\1", text)
    return text if len(text) <= width else text[: max(0, width - 1)] + "\N{HORIZONTAL ELLIPSIS}"


class Progress:
    """Lines on a terminal's stderr that turn while something is waited for; in a pipe nothing."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._text: tuple[str, ...] = ("",)
        self._turn = 0
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, *text: str) -> None:
        """What is shown from now on; the first line turns."""
        self._text = text

    def lines(self, width: int) -> list[str]:
        """What the terminal shows now."""
        first, *held = self._text
        waited = format_duration(int(time.monotonic() - self._began))
        found = [f"{SPIN[self._turn % len(SPIN)]} {waited}  {first}"]
        found += [f"    {text}" for text in held[:MOST_HELD]]
        if len(held) > MOST_HELD:
            found.append(f"    and {len(held) - MOST_HELD} more")
        return [fitted(line, width - 1) for line in found]

    def _run(self) -> None:
        while not self._over.wait(TURN_S):
            self._turn += 1
            shown = self.lines(max(20, shutil.get_terminal_size().columns))
            back = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
            with stderr_lock, contextlib.suppress(OSError):
                waiting_line(self, shown=True)
                sys.stderr.write(ERASE + "\n".join(shown) + back + "\r")
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
            with contextlib.suppress(OSError):
                sys.stderr.write(ERASE)
                sys.stderr.flush()
        waiting_line(self, shown=False)


class Same:
    """Looks at one request, and notices if the server lost it and gave its number to another.

    A server that keeps requests in memory alone starts counting anew with each restart.

    Args:
        client: whom to ask.
        req_id: the request.
        first: what is known of it already.
    """

    def __init__(self, client: Client, req_id: int, first: ReqInfo | None = None) -> None:
        self._client = client
        self.id = req_id
        self._first = first

    def look(self) -> ReqInfo:
        """The request as it is now.

        Raises:
            NotFoundError: the server does not know it, or not any more.
        """
        first = self._first
        try:
            info = self._client.get_request_info(self.id)
        except NotFoundError:
            if first is None:
                raise
            raise self._lost() from None
        if first is None:
            self._first = info
        elif info.created != first.created:
            raise self._lost()
        return info

    def _lost(self) -> NotFoundError:
        return NotFoundError(
            f"the server does not know request {self.id} any more: it was restarted and had it "
            "in memory alone, or it ended long ago; ask again for a board",
            id=self.id,
        )


def within(seconds: float | None, call: Callable[[], T], late: Callable[[], TimedOut]) -> T:
    """The result of a call that may take longer than there is time, as when the server is away.

    Raises:
        TimedOut: it is not there in time; the call is left alone.
    """
    if seconds is None:
        return call()
    found: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise late()
    return found[0]


@contextlib.contextmanager
def told(client: Client, tell: Callable[[Change], None], **chosen: Any) -> Iterator[None]:
    """Has `tell` called with the chosen changes; with none where the key has too many watchers."""
    try:
        watch = client.subscribe(tell, **chosen)
    except Busy:
        yield  # one of very many at once: who waits looks now and then by himself
        return
    try:
        yield
    finally:
        watch.close()


def until_changed(
    same: Same,
    client: Client,
    enough: Callable[[ReqInfo], bool],
    timeout: float | None = None,
) -> ReqInfo:
    """Waits until the request is as `enough` wants it; shows why it waits meanwhile.

    Args:
        same: the request.
        client: whom to ask.
        enough: whether it is as it should be.
        timeout: seconds; None waits for ever.

    Raises:
        TimedOut: it was not in time.
        NotFoundError: the server lost the request.
        Unreachable: the server stays out of reach.
    """
    end = None if timeout is None else time.monotonic() + timeout
    why = "the server does not answer"

    def late() -> TimedOut:
        text = f"request {same.id} still waits after {format_duration(timeout or 0)}: {why}"
        return TimedOut(text, id=same.id)

    def left() -> float | None:
        return None if end is None else max(0.0, end - time.monotonic())

    info = same.look()
    if enough(info):
        return info
    changed = threading.Event()
    with told(client, lambda _: changed.set(), requests=[same.id]), Progress() as progress:
        while True:
            changed.clear()
            info = within(left(), same.look, late)
            if enough(info):
                return info
            why = reason_line(info)
            first, *holders = reason_lines(info)
            progress.say(f"request {same.id}: {first}", *holders)
            more = left()
            if more == 0:
                raise late()
            changed.wait(LOOK_S if more is None else min(LOOK_S, more))


def until_served(client: Client, req_id: int, timeout: float | None = None) -> ReqInfo:
    """Waits until the request no longer waits. See `until_changed`."""
    same = Same(client, req_id)
    return until_changed(same, client, lambda info: info.state is not ReqState.WAIT, timeout)

"""Why a request waits, and how long.

`why_code` is one of:

=================  =================================================================
not_valid_yet      its valid_after lies ahead
no_workers         no worker has registered yet
nobody_has_it      no known board, offline ones included, could serve it
all_out            the fitting boards are in maintenance or failed
all_offline        the fitting boards are out of reach
preparing          the fitting boards are being prepared
all_busy           the fitting boards are held by others
behind_others      a fitting board is free, and requests ahead of it come first
about_to_start     a fitting board is free and it is first: it starts at once
=================  =================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from boruta.domain.rows import RequestRow
from boruta.domain.types import LO_PRIO, QueueInfo, ReqID, WorkerInfo, WorkerState

PREPARE_TAKES_S: Final = 10.0  # a guess until it is measured; used where a board must be prepared
HOLDERS_SHOWN: Final = 10  # more would not be read, and go over the wire with every row
_COMING: Final = (WorkerState.IDLE, WorkerState.PREPARE, WorkerState.RUN)
_OUT: Final = (WorkerState.MAINTENANCE, WorkerState.BUSY, WorkerState.FAIL)


class Standing:
    """How the boards stand that fit a kind of requests; worked out once for all that wait for them.

    Args:
        fitting: the known workers that could serve them.
        holders: owner and end of the job, of each request that holds one of them.
        unmet: what no known worker has, as words of the command line.
        judging: whether a worker has registered yet, so that `unmet` means something.
        now: aware UTC.
    """

    def __init__(
        self,
        fitting: Sequence[WorkerInfo],
        holders: Mapping[ReqID, tuple[str, object]],
        unmet: Sequence[str],
        judging: bool,
        now: datetime,
    ) -> None:
        self.fitting = fitting
        self.unmet = unmet
        self.judging = judging
        self.now = now
        coming = [board for board in fitting if board.online and board.state in _COMING]
        self.slots = sorted(_free_in(board, holders, now) for board in coming)
        self.free = sum(board.state is WorkerState.IDLE for board in coming)
        self.running = sum(board.state is WorkerState.RUN for board in coming)
        self.also = _also(fitting) if coming else ""
        self.holders = _holders(coming, holders, now)


def why(row: RequestRow, position: int, boards: Standing) -> QueueInfo:
    """Why the request waits, in sentences that name the next step.

    Args:
        row: the request; it waits.
        position: its place in the queue, 0 if it does not stand there.
        boards: how those stand that fit it.
    """
    place, now = max(position, 1), boards.now
    if row.valid_after > now:
        text = f"it is valid from {_clock(row.valid_after, now)} on and stands in no queue before"
        ahead = (row.valid_after - now).total_seconds()
        return QueueInfo(place, ahead if boards.fitting else None, text, "not_valid_yet")
    if not boards.fitting:
        return _nobody(row, place, boards.unmet, boards.judging)
    if not boards.slots:
        return _none_coming(place, boards.fitting)
    code, text = _busy(boards, place)
    text += boards.also + _starving(row, place, code)
    return QueueInfo(place, _estimate(row, place, boards.slots), text, code, boards.holders)


def _nobody(row: RequestRow, place: int, unmet: Sequence[str], judging: bool) -> QueueInfo:
    if not judging:
        text = "no board has registered yet; boruta workers shows those that do"
        return QueueInfo(place, None, text, "no_workers")
    if unmet:
        text = f"no known board has {_listed(unmet)}"
    elif not row.caps and not row.owner_groups:
        text = "no board is known"
    else:
        text = "no known board has all of it at once"
    text += f"; boruta workers shows what there is, boruta close {row.id} gives up"
    return QueueInfo(place, None, text, "nobody_has_it")


def _none_coming(place: int, fitting: Sequence[WorkerInfo]) -> QueueInfo:
    """No fitting board is on its way to being lent: offline apart from out of service."""
    one = len(fitting) == 1
    subject = "the only fitting board" if one else f"all {len(fitting)} fitting boards"
    offline = [board for board in fitting if not board.online]
    if len(offline) == len(fitting):
        named = _names(offline)
        text = f"{subject} {'is' if one else 'are'} offline ({named}); look at power and network"
        return QueueInfo(place, None, text, "all_offline")
    out = [board for board in fitting if board.online]
    board = out[0]
    said = f" ({board.reason})" if board.reason else ""
    text = f"{subject} {'is' if one else 'are'} out of service: {_state(board)}{said}"
    if board.state is WorkerState.BUSY:
        text += f"; afterwards: boruta worker enable {board.worker_uuid}"
    else:
        text += f"; an admin can bring it back: boruta worker enable {board.worker_uuid}"
    if offline:
        text += f"; offline: {_names(offline)}"
    return QueueInfo(place, None, text, "all_out")


def _busy(boards: Standing, place: int) -> tuple[str, str]:
    free, running = boards.free, boards.running
    if free and place <= free:
        return "about_to_start", "a fitting board is free: it starts as soon as it is matched"
    if free:
        return "behind_others", f"{place - 1} requests come before it"
    preparing = len(boards.slots) - running
    if not running:
        what = "board is" if preparing == 1 else "boards are"
        return "preparing", f"{preparing} fitting {what} being prepared"
    if preparing:
        text = f"{running} of {running + preparing} fitting boards held by others, "
        text += f"{preparing} being prepared"
    else:
        text = f"{_count(running, 'fitting board')} held by others"
    if place > 1:
        text += f"; {_count(place - 1, 'request')} ahead"
    return "all_busy", text


def _also(fitting: Sequence[WorkerInfo]) -> str:
    """Boards that would help if somebody looked after them."""
    text = ""
    offline = [board for board in fitting if not board.online]
    if offline:
        text += f"; offline: {_names(offline)}"
    out = [board for board in fitting if board.online and board.state in _OUT]
    if out:
        text += f"; out of service: {_names(out)} (boruta worker enable {out[0].worker_uuid})"
    return text


def _starving(row: RequestRow, place: int, code: str) -> str:
    # Priorities are strict, without ageing: whoever waits at the end should know (SAFETY, B3).
    if row.priority != LO_PRIO or place == 1 or code == "about_to_start":
        return ""
    return f"; priority {row.priority} waits for all others, however long"


def _estimate(row: RequestRow, place: int, slots: Sequence[float]) -> float:
    """Seconds until its turn if every job before it takes all of its time, as long as its own.

    So it is rather too long than too short, until hold times are measured.
    """
    rounds, slot = divmod(place - 1, len(slots))
    return round(slots[slot] + rounds * (row.job_timeout_s + PREPARE_TAKES_S), 1)


def _free_in(
    board: WorkerInfo, holders: Mapping[ReqID, tuple[str, object]], now: datetime
) -> float:
    if board.state is WorkerState.IDLE:
        return 0.0
    end = None if board.request is None else holders.get(board.request, ("", None))[1]
    if board.state is WorkerState.RUN and isinstance(end, datetime):
        return max(0.0, (end - now).total_seconds()) + PREPARE_TAKES_S
    return PREPARE_TAKES_S


def _holders(
    coming: Sequence[WorkerInfo], holders: Mapping[ReqID, tuple[str, object]], now: datetime
) -> tuple[str, ...]:
    """Who holds the fitting boards, those that end first first."""
    found = []
    for board in coming:
        held = None if board.request is None else holders.get(board.request)
        if board.state is not WorkerState.RUN or held is None:
            continue
        owner, end = held
        until = f" until {_clock(end, now)}" if isinstance(end, datetime) else ""
        text = f"{board.request} by {owner or 'somebody'} on {board.worker_uuid}{until}"
        found.append((str(end), board.worker_uuid, text))
    shown = [text for _, _, text in sorted(found)]
    if len(shown) > HOLDERS_SHOWN:
        shown[HOLDERS_SHOWN:] = [f"and {len(shown) - HOLDERS_SHOWN} more"]
    return tuple(shown)


def _names(boards: Sequence[WorkerInfo], most: int = 3) -> str:
    named = ", ".join(board.worker_uuid for board in boards[:most])
    return named if len(boards) <= most else f"{named} and {len(boards) - most} more"


def _state(board: WorkerInfo) -> str:
    what = "going to MAINTENANCE" if board.state is WorkerState.BUSY else board.state.value
    return f"{board.worker_uuid} is {what}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _count(number: int, what: str) -> str:
    if what == "request":
        return f"1 {what} is" if number == 1 else f"{number} {what}s are"
    return f"the only {what} is" if number == 1 else f"all {number} {what}s are"


def _clock(when: datetime, now: datetime) -> str:
    """The time of day; the day too, if it is another one."""
    return f"{when:%H:%M:%SZ}" if when.date() == now.date() else f"{when:%Y-%m-%d %H:%M:%SZ}"

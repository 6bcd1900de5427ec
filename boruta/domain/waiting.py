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

import heapq
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Final, NamedTuple

from boruta.domain.later import Later
from boruta.domain.quick import quick
from boruta.domain.rows import RequestRow
from boruta.domain.types import LO_PRIO, QueueInfo, ReqID, ReqInfo, WorkerState, WorkerUUID

PREPARE_TAKES_S: Final = 10.0  # a guess until it is measured; used where a board must be prepared
HOLDERS_SHOWN: Final = 10  # more would not be read, and go over the wire with every row
_COMING: Final = (WorkerState.IDLE, WorkerState.PREPARE, WorkerState.RUN)
_OUT: Final = (WorkerState.MAINTENANCE, WorkerState.BUSY, WorkerState.FAIL)
_queue_info: Final = quick(QueueInfo)


class Board(NamedTuple):
    """What those who wait need to know of a board; looked up once for all kinds of requests.

    `free_in` is when it can be had, None if nobody can say; `owner` holds it until `ends_at`.
    `turn` sorts those that are held by when they come back.
    """

    worker_uuid: WorkerUUID
    state: WorkerState
    reason: str
    online: bool
    request: ReqID | None
    owner: str | None
    ends_at: datetime | None
    free_in: float | None
    turn: tuple[str, WorkerUUID] | None


def look(
    uuid: WorkerUUID,
    state: WorkerState,
    now: datetime,
    *,
    reason: str = "",
    online: bool = True,
    request: ReqID | None = None,
    owner: str | None = None,
    ends_at: datetime | None = None,
    likely_end: datetime | None = None,
) -> Board:
    """A board as it stands now.

    Args:
        uuid: the board.
        state: its state.
        now: aware UTC.
        reason: why it is out of service.
        online: whether its agent is there.
        request: which holds it.
        owner: of that request, None if it is not known.
        ends_at: when its job ends at the latest.
        likely_end: when it ends if it takes as long as such jobs do; None: nobody knows.
    """
    free_in = None
    if online and state in _COMING:
        free_in = 0.0 if state is WorkerState.IDLE else PREPARE_TAKES_S
        if state is WorkerState.RUN and ends_at is not None:
            # One that took longer than such jobs do may last to its end.
            likely = likely_end is not None and now < likely_end < ends_at
            end = (likely_end if likely else ends_at) or ends_at
            free_in += max(0.0, (end - now).total_seconds())
    held = state is WorkerState.RUN and owner is not None
    turn = (str(ends_at), uuid) if held else None
    return Board(uuid, state, reason, online, request, owner, ends_at, free_in, turn)


class Standing:
    """How the boards stand that fit a kind of requests; worked out once for all that wait for them.

    Args:
        fitting: the known workers that could serve them.
        unmet: what no known worker has, as words of the command line.
        judging: whether a worker has registered yet, so that `unmet` means something.
        now: aware UTC.
    """

    def __init__(
        self, fitting: Sequence[Board], unmet: Sequence[str], judging: bool, now: datetime
    ) -> None:
        self.fitting = fitting
        self.missing = f"no known board has {_listed(unmet)}" if unmet else ""
        self.judging = judging
        self.now = now
        self.slots: list[float] = []
        if not fitting:
            return
        coming = [board for board in fitting if board.free_in is not None]
        states = [board.state for board in coming]
        self.slots = sorted([board.free_in or 0.0 for board in coming])
        self.free = states.count(WorkerState.IDLE)
        self.running = states.count(WorkerState.RUN)
        self.also = _also(fitting) if coming else ""
        self.busy = _busy(self)
        held = [(board.turn, board) for board in coming if board.turn is not None]
        self._held = len(held)
        self._first_back = heapq.nsmallest(HOLDERS_SHOWN, held, key=itemgetter(0))

    @cached_property
    def holders(self) -> tuple[str, ...]:
        """Who holds the fitting boards, those that end first first."""
        shown = []
        for _, board in self._first_back:
            until = "" if board.ends_at is None else f" until {_clock(board.ends_at, self.now)}"
            holder = board.owner or "somebody"
            shown.append(f"{board.request} by {holder} on {board.worker_uuid}{until}")
        if self._held > HOLDERS_SHOWN:
            shown.append(f"and {self._held - HOLDERS_SHOWN} more")
        return tuple(shown)


class Reason(Later):
    """Why the requests of one kind wait: put into words for each of them when somebody looks.

    Args:
        boards: how those stand that fit the kind.
        typical_s: as for `why`.
        places: the position of each request that stands in the queue.
    """

    __slots__ = ("_boards", "_places", "_typical_s")

    def __init__(
        self, boards: Standing, typical_s: float | None, places: Mapping[ReqID, int]
    ) -> None:
        self._boards = boards
        self._typical_s = typical_s
        self._places = places

    def of(self, owner: RequestRow | ReqInfo) -> QueueInfo:
        """Why this request waits."""
        return why(owner, self._places.get(owner.id, 0), self._boards, self._typical_s)


def why(
    row: RequestRow | ReqInfo, position: int, boards: Standing, typical_s: float | None = None
) -> QueueInfo:
    """Why the request waits, in sentences that name the next step.

    Args:
        row: the request; it waits, and all its times are known.
        position: its place in the queue, 0 if it does not stand there.
        boards: how those stand that fit it.
        typical_s: how long such requests hold a board, as measured; None: nobody knows yet.
    """
    place, now = position or 1, boards.now
    begins, created = row.valid_after, row.created
    if begins is not None and begins > now and (created is None or begins > created):
        text = f"it is valid from {_clock(begins, now)} on and stands in no queue before"
        ahead = (begins - now).total_seconds()
        return QueueInfo(place, ahead if boards.fitting else None, text, "not_valid_yet")
    if not boards.fitting:
        return _nobody(row, place, boards)
    slots = boards.slots
    if not slots:
        return _none_coming(place, boards.fitting)
    # Until it is measured, every job before it takes as long as this one may: rather too long.
    hold_s = row.job_timeout_s if typical_s is None else typical_s
    rounds, slot = divmod(place - 1, len(slots))
    estimate = round(slots[slot] + rounds * (hold_s + PREPARE_TAKES_S), 1)
    if boards.free:
        if place <= boards.free:
            code = "about_to_start"
            text = "a fitting board is free: it starts as soon as it is matched"
        else:
            code, text = "behind_others", f"{place - 1} requests come before it"
    else:
        code, text = boards.busy
        if place > 1 and code == "all_busy":
            text += f"; {place - 1} requests are ahead" if place > 2 else "; 1 request is ahead"
    text += boards.also
    if row.priority == LO_PRIO and place > 1 and code != "about_to_start":
        # Priorities are strict, without ageing: whoever waits at the end should know (SAFETY, B3).
        text += f"; priority {row.priority} waits for all others, however long"
    return _queue_info(place, estimate, text, code, boards.holders)


def _nobody(row: RequestRow | ReqInfo, place: int, boards: Standing) -> QueueInfo:
    if not boards.judging:
        text = "no board has registered yet; boruta workers shows those that do"
        return _queue_info(place, None, text, "no_workers")
    text = boards.missing
    if not text:
        groups = row.owner_groups if isinstance(row, RequestRow) else row.owner.groups
        wanted = row.caps or groups
        text = "no known board has all of it at once" if wanted else "no board is known"
    text += f"; boruta workers shows what there is, boruta close {row.id} gives up"
    return _queue_info(place, None, text, "nobody_has_it")


def _none_coming(place: int, fitting: Sequence[Board]) -> QueueInfo:
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


def _busy(boards: Standing) -> tuple[str, str]:
    """What is said where no fitting board is free; without who is ahead."""
    running = boards.running
    preparing = len(boards.slots) - running
    if not running:
        what = "board is" if preparing == 1 else "boards are"
        return "preparing", f"{preparing} fitting {what} being prepared"
    if preparing:
        text = f"{running} of {running + preparing} fitting boards held by others, "
        return "all_busy", text + f"{preparing} being prepared"
    held = "the only fitting board is" if running == 1 else f"all {running} fitting boards are"
    return "all_busy", f"{held} held by others"


def _also(fitting: Sequence[Board]) -> str:
    """Boards that would help if somebody looked after them."""
    text = ""
    offline = [board for board in fitting if not board.online]
    if offline:
        text += f"; offline: {_names(offline)}"
    out = [board for board in fitting if board.online and board.state in _OUT]
    if out:
        text += f"; out of service: {_names(out)} (boruta worker enable {out[0].worker_uuid})"
    return text


def _names(boards: Sequence[Board], most: int = 3) -> str:
    named = ", ".join(board.worker_uuid for board in boards[:most])
    return named if len(boards) <= most else f"{named} and {len(boards) - most} more"


def _state(board: Board) -> str:
    what = "going to MAINTENANCE" if board.state is WorkerState.BUSY else board.state.value
    return f"{board.worker_uuid} is {what}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _clock(when: datetime, now: datetime) -> str:
    """The time of day; the day too, if it is another one."""
    return f"{when:%H:%M:%SZ}" if when.date() == now.date() else f"{when:%Y-%m-%d %H:%M:%SZ}"

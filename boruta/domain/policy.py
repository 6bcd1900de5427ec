"""What a user may do: roles, ownership, groups, priorities, times, lengths of texts.

Every function answers what counts from then on, or raises and says what was wrong, where, and
what is allowed. No clock is read: `now` comes from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from boruta.domain import defaults
from boruta.domain.errors import (
    ActionRefused,
    BadRequest,
    BadTime,
    DeadlinePast,
    NotPermitted,
    PriorityOutOfBounds,
    TimeRangeIllegal,
    TooLarge,
)
from boruta.domain.request import Limits
from boruta.domain.rows import RequestRow
from boruta.domain.texts import LINE_BREAKS, check_printable, check_size
from boruta.domain.types import (
    HI_PRIO,
    LO_PRIO,
    Caller,
    Groups,
    Priority,
    ReqState,
    Role,
)


# --- who
def check_admin(caller: Caller) -> None:
    """Only an admin may.

    Raises:
        NotPermitted: the caller is none.
    """
    if not caller.is_admin:
        raise NotPermitted(
            f"{caller.name!r} is a {caller.role.value}: only an admin may do this", name=caller.name
        )


def check_worker(caller: Caller) -> None:
    """Only a worker's key, or an admin's, may speak for a board.

    Raises:
        NotPermitted: the key is a user's.
    """
    if caller.role is Role.USER:
        raise NotPermitted(
            f"{caller.name!r} is a user's key: a board needs one made by "
            f"'boruta key new NAME --role worker'",
            name=caller.name,
        )


def check_owns_worker(caller: Caller, owner_key: str) -> None:
    """Only the key that registered the worker, or an admin, may speak for it.

    Raises:
        NotPermitted: it belongs to another key.
    """
    check_worker(caller)
    if not caller.is_admin and caller.name != owner_key:
        raise NotPermitted(
            f"the worker belongs to the key {owner_key!r}, not to {caller.name!r}", owner=owner_key
        )


def check_may_hold(caller: Caller, owner_name: str) -> None:
    """Only the owner of a request, or an admin, may acquire, prolong, update or close it.

    Raises:
        NotPermitted: it belongs to somebody else.
    """
    if caller.is_admin or (caller.role is Role.USER and caller.name == owner_name):
        return
    raise NotPermitted(
        f"the request belongs to {owner_name or 'nobody'!r}, not to {caller.name!r}: "
        "only its owner or an admin may do this",
        owner=owner_name,
    )


# --- groups
def check_groups(caller: Caller, groups: Sequence[str]) -> Groups:
    """The worker groups that a request of `caller` may use; none is any.

    A user whose key has groups, and who names none, gets those of his key.

    Raises:
        NotPermitted: a group is not among the key's.
        BadRequest, TooLarge: see `check_group_names`.
    """
    if groups == () == caller.groups:
        return ()
    wanted = tuple(dict.fromkeys(check_group_names(groups)))
    if caller.is_admin or not caller.groups:
        return wanted
    outside = [group for group in wanted if group not in caller.groups]
    if outside:
        raise NotPermitted(
            f"groups: {', '.join(outside)}: not among those of the key {caller.name!r} "
            f"(allowed: {', '.join(caller.groups)})",
            groups=list(caller.groups),
        )
    return wanted or tuple(sorted(set(caller.groups)))


def check_group_names(groups: Sequence[str]) -> Groups:
    """Group names in order; a name given twice stays twice (the original, 6.3).

    Raises:
        BadRequest: a name is no text, is empty or has control characters.
        TooLarge: too many, or a name over its limit.
    """
    if isinstance(groups, str):
        raise BadRequest(f"groups: {groups!r} is one text (want a list of names)"[:200])
    if len(groups) > defaults.GROUPS_ENTRIES:
        raise TooLarge(f"groups: {len(groups)} names (at most {defaults.GROUPS_ENTRIES})")
    for group in groups:
        if not isinstance(group, str) or not group:
            raise BadRequest(f"groups: {group!r} is no name (want a text that is not empty)"[:200])
        check_size("groups: a name", group, defaults.GROUP_BYTES)
        check_printable("groups", group, allowed="")
    return tuple(sorted(groups))


# --- priority and times
def check_priority(priority: Priority) -> None:
    """1 is the most important, 16 the least.

    Raises:
        PriorityOutOfBounds: it is neither these nor between.
    """
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not whole or not HI_PRIO <= priority <= LO_PRIO:
        raise PriorityOutOfBounds(
            f"priority: {priority!r} is out of bounds "
            f"(allowed: {HI_PRIO}, the most important, to {LO_PRIO})"[:200]
        )


def check_times(
    now: datetime,
    valid_after: datetime | None,
    deadline: datetime | None,
    default_s: float | None = None,
) -> tuple[datetime, datetime]:
    """From when a request may be served, and until when it waits.

    None is `now` and `default_s` seconds (None: one calendar month), which counts from
    `valid_after` if that lies beyond it (the original let such a request wait for nothing).
    Source: the original, 5.1.

    Raises:
        BadTime: a time without a zone, or one that UTC cannot hold.
        DeadlinePast: the deadline is earlier than now.
        TimeRangeIllegal: valid_after is later than the deadline.
    """
    start = None if valid_after is None else utc("valid_after", valid_after)
    end = None if deadline is None else utc("deadline", deadline)
    if end is not None:
        _check_deadline(now, end)
        if start is not None:
            _check_range(start, end)
    start = start or now
    if end is None:
        end = _default_deadline(now, default_s)
        if end < start:
            end = _default_deadline(start, default_s)
    return start, end


def _default_deadline(start: datetime, default_s: float | None) -> datetime:
    if default_s is None:
        return months_later(start, defaults.DEADLINE_MONTHS)
    try:
        return start + timedelta(seconds=default_s)
    except OverflowError:
        raise BadTime(f"deadline: {default_s:g} s after {stamp(start)} is no date") from None


def months_later(start: datetime, months: int) -> datetime:
    """The same day some months later; a day too many runs on: January 31 leads to March 3.

    Raises:
        BadTime: that lies beyond the year 9999.
    """
    try:
        return start + _months(start.year, start.month, start.day, months)
    except (OverflowError, ValueError):
        text = f"deadline: a month after {stamp(start)} lies beyond the year 9999"
        raise BadTime(text) from None


@lru_cache(maxsize=64)
def _months(year: int, month: int, day: int, months: int) -> timedelta:
    """How long so many months are from this day; each request of a day asks for the same."""
    years, zero_based = divmod(month - 1 + months, 12)
    first = date(year + years, zero_based + 1, 1)
    return first + timedelta(days=day - 1) - date(year, month, day)


def check_job_timeout(job_timeout: float | None, limits: Limits) -> float:
    """A job's time in seconds; None is what the lab has set.

    Raises:
        BadTime: it is no number above 0, or longer than the lab allows.
    """
    if job_timeout is None:
        return min(limits.job_timeout_s, limits.max_job_timeout_s)
    number = isinstance(job_timeout, int | float) and not isinstance(job_timeout, bool)
    if not number or not math.isfinite(job_timeout) or job_timeout <= 0:
        raise BadTime(f"job_timeout: {job_timeout!r} (want seconds above 0)"[:200])
    if job_timeout > limits.max_job_timeout_s:
        raise BadTime(
            f"job_timeout: {job_timeout:g} s is too long (at most {limits.max_job_timeout_s:g} s)",
            max_s=limits.max_job_timeout_s,
        )
    return float(job_timeout)


def check_update(
    row: RequestRow,
    now: datetime,
    priority: Priority,
    valid_after: datetime | None,
    deadline: datetime | None,
) -> RequestRow | None:
    """The request with another priority, valid_after or deadline; None if nothing changes.

    0 and None leave what is. The state is looked at first, also if nothing changes, and the two
    times must fit each other whichever is given (both unlike the original, 5.3). The place in
    the queue and the revision are the caller's matter.

    Raises:
        ActionRefused: the request does not wait.
        PriorityOutOfBounds, BadTime, DeadlinePast, TimeRangeIllegal: as at creation.
    """
    if row.state is not ReqState.WAIT:
        raise ActionRefused(
            f"request {row.id} is {row.state.value}: only a WAITING request can be updated",
            state=row.state.value,
        )
    start = row.valid_after if valid_after is None else utc("valid_after", valid_after)
    end = row.deadline if deadline is None else utc("deadline", deadline)
    changed = row._replace(priority=priority or row.priority, valid_after=start, deadline=end)
    if changed == row:
        return None
    if priority:
        check_priority(priority)
    if deadline is not None:
        _check_deadline(now, end)
    if valid_after is not None or deadline is not None:
        _check_range(start, end)
    return changed


def utc(what: str, when: datetime) -> datetime:
    """The same moment in UTC.

    Args:
        what: the field's name, for the error's text.
        when: an aware time.

    Raises:
        BadTime: it has no zone, or UTC cannot hold it (9999-12-31T23:59:59-10:00).
    """
    if not isinstance(when, datetime) or when.utcoffset() is None:
        raise BadTime(f"{what}: {when!s} has no zone (want RFC 3339, 2030-01-31T12:00:00Z)"[:200])
    try:
        return when.astimezone(UTC)
    except (OverflowError, ValueError):
        raise BadTime(f"{what}: {when!s} is out of range (the years 1 to 9999 in UTC)") from None


def stamp(when: datetime) -> str:
    """A time as texts for people have it."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _check_deadline(now: datetime, deadline: datetime) -> None:
    if deadline < now:
        raise DeadlinePast(
            f"deadline: {stamp(deadline)} has passed (it is {stamp(now)}; want a later time)"
        )


def _check_range(valid_after: datetime, deadline: datetime) -> None:
    if valid_after > deadline:
        raise TimeRangeIllegal(
            f"valid_after: {stamp(valid_after)} is later than the deadline {stamp(deadline)} "
            "(want valid_after <= deadline)"
        )


# --- texts
def check_text(note: str, token: str | None, *, what: str = "note") -> None:
    """A note or a reason, and a token.

    Args:
        note: may have several lines.
        token: None is none.
        what: how the error calls the first one.

    Raises:
        TooLarge: over its limit.
        BadRequest: no text, an empty token, or control characters.
    """
    if note != "":
        limit = defaults.REASON_BYTES if what == "reason" else defaults.NOTE_BYTES
        check_size(what, note, limit)
        check_printable(what, note, allowed=LINE_BREAKS)
    if token is None:
        return
    check_size("token", token, defaults.TOKEN_BYTES)
    if not token:
        raise BadRequest("token: is empty (want 1 to 64 bytes, or none)")
    check_printable("token", token, allowed="")

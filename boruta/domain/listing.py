"""Lists: filters, sorting and pages (the original, chapter 7).

A list is made of rows. A row is what a list shows (ReqInfo, WorkerInfo) or something lighter
with the same names that `describe` makes into it: so a page of 100 out of 100,000 describes 100.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeAlias, TypeVar

from boruta.domain import defaults
from boruta.domain.errors import BadPage, BadSort, NotFoundError
from boruta.domain.interfaces import WorkerListFilter
from boruta.domain.requirements import Requirements, parse_caps
from boruta.domain.rows import RequestRow
from boruta.domain.slices import Sliced, chunks, leading, whole
from boruta.domain.types import (
    Groups,
    ListDirection,
    ListFilter,
    ListInfo,
    Page,
    Priority,
    ReqID,
    ReqInfo,
    SortInfo,
    SortOrder,
    WorkerInfo,
)

Row = TypeVar("Row", RequestRow, ReqInfo)
Item = TypeVar("Item")
Key: TypeAlias = Callable[[Any], Any]

_DESCRIBED: Final = 100  # rows that are put into words in one slice, for a filter of one's own
_id: Final[Key] = attrgetter("id")
_uuid: Final[Key] = attrgetter("worker_uuid")


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Requests that agree with each field that is not empty, by any of its values.

    States are compared as they are written on the wire; any case is the command line's matter.
    """

    ids: Sequence[ReqID] = ()
    priorities: Sequence[Priority] = ()
    states: Sequence[str] = ()
    owners: Sequence[str] = ()

    def match(self, req: ReqInfo) -> bool:
        """Whether the request belongs to the list."""
        return bool(self.choose([req]))

    def choose(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that match, in the same order; one pass over them for each field."""
        if self.ids:
            ids = frozenset(self.ids)
            rows = [row for row in rows if row.id in ids]
        if self.priorities:
            priorities = frozenset(self.priorities)
            rows = [row for row in rows if row.priority in priorities]
        if self.states:
            states = frozenset(self.states)
            rows = [row for row in rows if row.state in states]
        if self.owners:
            owners = frozenset(self.owners)
            owner = attrgetter("owner_name" if _light(rows) else "owner.name")
            rows = [row for row in rows if owner(row) in owners]
        return rows


@dataclass(frozen=True, slots=True)
class WorkerFilter:
    """Workers that are in any of the groups, have all the caps, and are in any of the states.

    Raises:
        BadCaps: caps do not follow the grammar of `requirements`.
    """

    groups: Groups = ()
    caps: Mapping[str, str] = field(default_factory=dict)
    states: Sequence[str] = ()
    _wanted: Requirements = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wanted", parse_caps(self.caps or {}))

    def match(self, worker: WorkerInfo) -> bool:
        """Whether the worker belongs to the list."""
        if self.states and worker.state not in self.states:
            return False
        if self.groups and frozenset(self.groups).isdisjoint(worker.groups):
            return False
        return self._wanted.fits(worker.caps)


def list_requests(
    rows: Sequence[Row],
    filter: ListFilter | None = None,
    sort: SortInfo | None = None,
    page: Page | None = None,
    *,
    describe: Callable[[Row], ReqInfo] | None = None,
    by_id: bool = False,
) -> tuple[list[ReqInfo], ListInfo]:
    """A page of the requests that match, described; see `page_of_requests`."""
    found, info = whole(page_of_requests(rows, filter, sort, page, describe=describe, by_id=by_id))
    if describe is None:
        return found, info  # type: ignore[return-value]
    return [describe(row) for row in found], info


def page_of_requests(
    rows: Sequence[Row],
    filter: ListFilter | None = None,
    sort: SortInfo | None = None,
    page: Page | None = None,
    *,
    describe: Callable[[Row], ReqInfo] | None = None,
    by_id: bool = False,
    border: Row | None = None,
) -> Sliced[tuple[list[Row], ListInfo]]:
    """A page of the requests that match, as the rows that they are; in slices.

    Args:
        rows: all requests; the border of the page is looked for among them.
        filter: a `RequestFilter` looks at rows, any other one at what `describe` makes of them.
        sort: by id (also ""), priority, deadline, validafter or state; ties by id.
        page: the first 65,535 if None.
        describe: makes a row into what the list shows; None if rows are that already.
        by_id: the rows surely stand in the order of their ids.
        border: that of the page, if it is known already.

    Raises:
        BadSort: an unknown item or order.
        BadPage: an unknown direction, or a limit out of range.
        NotFoundError: there is no request with the border's id.
    """
    item, down = order_of(sort)
    key = (_ROW_KEYS if _light(rows) else _REQUEST_KEYS)[item]
    page = checked(page)
    if not by_id:
        rows = sorted(rows, key=_id)
    if page.id and border is None:
        border = border_of(partial(_row_at, rows), page.id)
    chosen = rows if filter is None else (yield from _chosen(rows, filter, describe))
    return (yield from _page(chosen, _id, key, down, page, border))


def _chosen(
    rows: Sequence[Row], filter: ListFilter, describe: Callable[[Row], ReqInfo] | None
) -> Sliced[list[Row]]:
    found: list[Row] = []
    if isinstance(filter, RequestFilter):
        for chunk in chunks(rows):
            found += filter.choose(chunk)
            yield
        return found
    for chunk in chunks(rows, _DESCRIBED):
        if describe is None:
            found += [row for row in chunk if filter.match(row)]  # type: ignore[arg-type]
        else:
            found += [row for row in chunk if filter.match(describe(row))]
        yield
    return found


def list_workers(
    rows: Sequence[WorkerInfo],
    filter: WorkerListFilter | None = None,
    sort: SortInfo | None = None,
    page: Page | None = None,
) -> tuple[list[WorkerInfo], ListInfo]:
    """A page of the workers that match, sorted by uuid (also ""), state or groups.

    Raises:
        NotFoundError: there is no worker with the border's uuid.
        BadSort, BadPage: as for requests.
    """
    page = checked(page)
    border = None
    if page.id:
        border = next((row for row in rows if row.worker_uuid == page.id), None)
        if border is None:
            raise NotFoundError(f"worker {page.id} not found: no page can start there")
    item, down = order_of(sort, _WORKER_KEYS)
    line = sorted(rows, key=_uuid)
    chosen = line if filter is None else [row for row in line if filter.match(row)]
    return whole(_page(chosen, _uuid, _WORKER_KEYS[item], down, page, border))


# --- what a list is sorted by, beside the name of a row; None is its name alone
def _moment(field: str) -> Key:
    get = attrgetter(field)
    return lambda row: get(row) or _NO_TIME


_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)
_REQUEST_KEYS: Final[Mapping[str, Key | None]] = {
    "id": None,
    "priority": attrgetter("priority"),
    "deadline": _moment("deadline"),
    "validafter": _moment("valid_after"),
    "state": attrgetter("state"),  # compares as the text on the wire
}
# Rows of the store have all their times, and are tuples.
_ROW_KEYS: Final[Mapping[str, Key | None]] = {
    **_REQUEST_KEYS,
    **{
        name: itemgetter(RequestRow._fields.index(field))
        for name, field in (
            ("priority", "priority"),
            ("deadline", "deadline"),
            ("validafter", "valid_after"),
        )
    },
}
_WORKER_KEYS: Final[Mapping[str, Key | None]] = {
    "uuid": None,
    "state": attrgetter("state"),
    "groups": attrgetter("groups"),
}


def _light(rows: Sequence[Any]) -> bool:
    return bool(rows) and isinstance(rows[0], RequestRow)


def order_of(
    sort: SortInfo | None, keys: Mapping[str, Key | None] = _REQUEST_KEYS
) -> tuple[str, bool]:
    """The item to sort by, and whether the highest comes first.

    Raises:
        BadSort: an unknown item or order.
    """
    first = next(iter(keys))
    if sort is None:
        return first, False
    item = sort.item.lower() or first
    if item not in keys:
        raise BadSort(f"sort: {sort.item!r} is no item to sort by (allowed: {', '.join(keys)})")
    if sort.order not in tuple(SortOrder):
        raise BadSort(f"sort: {sort.order!r} is no order (allowed: {', '.join(SortOrder)})")
    return item, sort.order == SortOrder.DESCENDING


def checked(page: Page | None) -> Page:
    """The page with its limit; the first 65,535 if None.

    Raises:
        BadPage: an unknown direction, or a limit out of range.
    """
    if page is None:
        return Page(limit=defaults.FULL_PAGE)
    if page.direction not in tuple(ListDirection):
        raise BadPage(
            f"page: {page.direction!r} is no direction (allowed: {', '.join(ListDirection)})"
        )
    whole = isinstance(page.limit, int) and not isinstance(page.limit, bool)
    if not whole or not 0 <= page.limit <= defaults.FULL_PAGE:
        raise BadPage(f"page: limit {page.limit!r} (allowed: 0, the most, to {defaults.FULL_PAGE})")
    return Page(page.id, page.direction, page.limit or defaults.FULL_PAGE)


def _row_at(rows: Sequence[Row], wanted: ReqID) -> Row | None:
    at = bisect_left(rows, wanted, key=_id)
    return rows[at] if at < len(rows) and rows[at].id == wanted else None


def border_of(row_of: Callable[[ReqID], Row | None], wanted: object) -> Row:
    """The request where a page starts.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = row_of(wanted) if isinstance(wanted, int) else None
    if row is None:
        raise NotFoundError(f"request {wanted} not found: no page can start there", id=wanted)
    return row


def _page(
    line: Sequence[Item],
    name: Key,
    key: Key | None,
    down: bool,
    page: Page,
    border: Item | None,
) -> Sliced[tuple[list[Item], ListInfo]]:
    """Cuts the page out of `line`, which stands in the order of names.

    With down, everything is the mirror of the ascending list: what lies after the border there
    lies before it here. So the page is a stretch of the ascending list, turned round at the end.
    """
    total, limit = len(line), page.limit
    upward = (page.direction == ListDirection.FORWARD) is not down
    if key is None:
        first, last = 0, total
        if border is not None:
            mark = name(border)
            if upward:
                first = bisect_right(line, mark, key=name)
            else:
                last = bisect_left(line, mark, key=name)
        beyond = last - first
        # One slice, for each copy of 100,000 rows takes milliseconds.
        if upward:
            found = [*line[first : min(last, first + limit)]]
        else:
            found = [*line[max(first, last - limit) : last]]
    else:
        if border is not None:
            line = yield from _beyond(line, name, key, upward, border)
        beyond = len(line)
        if upward:
            found = yield from leading(line, key, limit)
        else:
            found = yield from leading(line[::-1], key, limit, down=True)
            found.reverse()
    if down:
        found.reverse()
    return found, ListInfo(total, beyond - len(found))


def _beyond(
    line: Sequence[Item], name: Key, key: Key, upward: bool, border: Item
) -> Sliced[list[Item]]:
    """What lies on one side of the border in the ascending list, in the order of names."""
    mark, own = key(border), name(border)
    found: list[Item] = []
    for chunk in chunks(line):
        keyed = zip(map(key, chunk), chunk, strict=True)
        if upward:
            found += [row for k, row in keyed if k > mark or (k == mark and name(row) > own)]
        else:
            found += [row for k, row in keyed if k < mark or (k == mark and name(row) < own)]
        yield
    return found

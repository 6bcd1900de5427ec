"""Pages of the list of requests from sorted indexes: a page looks at its own rows alone.

An `Order` is made by the first list that wants it, in slices. From then on a change of a row is
only noted, once for all orders, and the next list puts its order right before it looks. An order
that nobody has asked for while much changed is dropped: to make it anew costs no more.

The rows of an order lie in buckets by what filters choose (owner, state, priority), each sorted: a
total is a sum of lengths, what remains a sum of ranks, and a page the merge of some buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from boruta.domain import listing
from boruta.domain.listing import RequestFilter
from boruta.domain.orders import KEYS, NEWS, Bucket, Kind, News, Order, Rows
from boruta.domain.rows import RequestRow
from boruta.domain.slices import Sliced
from boruta.domain.sortedrows import merged
from boruta.domain.types import (
    ListDirection,
    ListFilter,
    ListInfo,
    Page,
    ReqID,
    ReqInfo,
    SortInfo,
)

_Found: TypeAlias = tuple[list[RequestRow], ListInfo]
_IDS: Final = 1000  # of a filter that are looked up one by one
# What a list may be sorted by that buckets have in common: such a list is made of sections.
_SECTIONS: Final[Mapping[str, Callable[[Kind], Any]]] = {
    "state": itemgetter(0),
    "priority": itemgetter(1),
}


class Catalogue:
    """The orders of one store's requests. A copy has none: they belong to the rows of one store.

    Attributes:
        kept: whether there are orders, so that changes must be told.
    """

    def __init__(self) -> None:
        self._orders: dict[tuple[str, bool], Order] = {}
        self.kept = False
        # What has changed since an order was put right, the same for all of them; and how many
        # changes came before these.
        self._news: list[News] = []
        self._before = 0
        self._most = NEWS

    def __copy__(self) -> Catalogue:
        return Catalogue()

    def changed(self, req_id: ReqID, was: RequestRow | None) -> None:
        """A row is about to be replaced, added (`was` is None) or removed."""
        news = self._news
        news.append((req_id, was))
        if len(news) > self._most:
            self._drop()

    def _drop(self) -> None:
        """Drops what all orders know, and the orders that know too little."""
        end = self._before + len(self._news)
        for name, order in tuple(self._orders.items()):
            if end - order.known + len(order.news) > order.most_news:
                del self._orders[name]
        self.kept = bool(self._orders)
        known = min((order.known for order in self._orders.values()), default=end)
        del self._news[: known - self._before]
        self._before = known
        self._most = len(self._news) + NEWS

    def page(
        self,
        rows: Rows,
        filter: ListFilter | None,
        sort: SortInfo | None,
        page: Page | None,
        describe: Callable[[RequestRow], ReqInfo],
    ) -> Sliced[_Found]:
        """As `listing.page_of_requests`; all changes of `rows` are told here."""
        item, down = listing.order_of(sort)
        page = listing.checked(page)
        ids = filter.ids if isinstance(filter, RequestFilter) else ()
        if ids or not (filter is None or type(filter) is RequestFilter):
            border = _border(rows, page)
            line = list(rows.values())
            if 0 < len(ids) <= _IDS:
                line = [row for one in sorted(set(ids)) if (row := rows.get(one)) is not None]
            work = listing.page_of_requests(
                line, filter, sort, page, describe=describe, by_id=True, border=border
            )
            return (yield from work)
        owners = () if filter is None else frozenset(filter.owners)
        order = yield from self._current(item if item in KEYS else "id", bool(owners), rows)
        # What stands in the catalogue is of one moment from here on to the last copy.
        border = _border(rows, page)
        section_of = _SECTIONS.get(item, _one_section)
        chosen = _chosen(order.buckets(owners), filter)
        upward = (page.direction == ListDirection.FORWARD) is not down
        parts = _parts(chosen, order, section_of, border, upward)
        length, limit = sum(part.length for part in parts), page.limit
        runs = _copies(parts, limit, upward)
        found: list[RequestRow] = []
        for some in runs:
            left = limit - len(found)
            found += yield from merged(some, order.key, left, down=not upward)
        if upward is down:
            found.reverse()
        return found, ListInfo(sum(len(bucket) for _, bucket in chosen), length - len(found))

    def _current(self, item: str, by_owner: bool, rows: Rows) -> Sliced[Order]:
        """The order, with all news in it."""
        name = (item, by_owner)
        while True:
            order = self._orders.get(name)
            if order is None:
                order = self._orders[name] = Order(item, by_owner, len(rows))
                order.known = self._before + len(self._news)
                self.kept = True
            for _ in order.caught_up(rows, self._told):
                yield
                if self._orders.get(name) is not order:
                    break  # more has changed than it waits for
            else:
                return order

    def _told(self, order: Order) -> Sequence[News]:
        """What this order does not know yet; from now on it does."""
        news = self._news[order.known - self._before :]
        order.known += len(news)
        return news


class _Part(NamedTuple):
    """What a page may take of a bucket: the rows of these ranks, in this section of the list."""

    section: Any
    bucket: Bucket
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first


def _one_section(_: Kind) -> int:
    return 0


def _border(rows: Rows, page: Page) -> RequestRow | None:
    return listing.border_of(rows.get, page.id) if page.id else None


def _chosen(
    buckets: Sequence[tuple[Kind, Bucket]], filter: RequestFilter | None
) -> Sequence[tuple[Kind, Bucket]]:
    if filter is not None and filter.states:
        states = frozenset(filter.states)
        buckets = [one for one in buckets if one[0][0] in states]
    if filter is not None and filter.priorities:
        priorities = frozenset(filter.priorities)
        buckets = [one for one in buckets if one[0][1] in priorities]
    return buckets


def _parts(
    chosen: Sequence[tuple[Kind, Bucket]],
    order: Order,
    section_of: Callable[[Kind], Any],
    border: RequestRow | None,
    upward: bool,
) -> list[_Part]:
    """What lies beyond the border, in the order in which a page takes it."""
    parts = [_Part(section_of(kind), bucket, 0, len(bucket)) for kind, bucket in chosen]
    if border is not None:
        mark, own = order.key(border), section_of((border.state, border.priority))
        if upward:
            near = [
                part._replace(first=part.bucket.rank(mark, past=True))
                for part in parts
                if part.section == own
            ]
            parts = near + [part for part in parts if part.section > own]
        else:
            near = [
                part._replace(last=part.bucket.rank(mark)) for part in parts if part.section == own
            ]
            parts = near + [part for part in parts if part.section < own]
    parts.sort(key=itemgetter(0), reverse=not upward)
    return parts


def _copies(parts: Sequence[_Part], limit: int, upward: bool) -> list[list[list[RequestRow]]]:
    """For each section that the page reaches, what it may take of each bucket."""
    runs: list[list[list[RequestRow]]] = []
    seen, before = object(), 0  # what all earlier sections hold
    own = 0
    for section, bucket, first, last in parts:
        if section != seen:
            before += own
            if before >= limit:
                break
            seen, own = section, 0
            runs.append([])
        own += last - first
        left = limit - before
        if upward:
            runs[-1].append(bucket.rows(first, min(last, first + left)))
        else:
            runs[-1].append(bucket.rows(max(first, last - left), last))
    return runs

"""All requests in one order, which is put right at the next look and not at each change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from boruta.domain.rows import RequestRow
from boruta.domain.slices import chunks, leading
from boruta.domain.sortedrows import Key, SortedRows
from boruta.domain.types import Priority, ReqID, ReqState

Rows: TypeAlias = Mapping[ReqID, RequestRow]
Bucket: TypeAlias = SortedRows[RequestRow]
Kind: TypeAlias = tuple[ReqState, Priority]
# A request that has changed, and what stood in its place before; None if it is new.
News: TypeAlias = tuple[ReqID, RequestRow | None]

NEWS: Final = 1000  # changes that an order of few rows may wait for
NEWS_PART: Final = 8  # and this part of its rows in a large one; then it is dropped
_A_STEP: Final = 50  # news that one slice puts right, less than 1 ms
_A_LOOK: Final = 1000  # rows that one slice puts into buckets, likewise
_EVERYBODY: Final = ""


def _key(*fields: str) -> Key:
    return itemgetter(*map(RequestRow._fields.index, fields))


KEYS: Final[Mapping[str, Key]] = {
    "id": _key("id"),
    "deadline": _key("deadline", "id"),
    "validafter": _key("valid_after", "id"),
}


class Order:
    """The rows by one of `KEYS`, in a bucket for each state and priority.

    Args:
        item: names the key.
        by_owner: each owner has buckets of his own.
        size: how many rows there are about.
    """

    def __init__(self, item: str, by_owner: bool, size: int) -> None:
        self.key: Key = KEYS[item]
        # What stands here of each request that is to be put right: None if nothing.
        self.news: dict[ReqID, RequestRow | None] = {}
        self.known = 0  # how many of all changes it knows
        self.most_news = NEWS + size // NEWS_PART
        self._by_owner = by_owner
        self._owners: dict[str, dict[Kind, Bucket]] = {}
        self._making: Iterator[None] | None = None
        self._made = False

    def buckets(self, owners: Iterable[str]) -> list[tuple[Kind, Bucket]]:
        """All buckets, or those of these owners if it is by owner."""
        names = owners if self._by_owner else (_EVERYBODY,)
        return [pair for name in names for pair in self._owners.get(name, {}).items()]

    def caught_up(self, rows: Rows, told: Callable[[Order], Sequence[News]]) -> Iterator[None]:
        """Makes it if need be, then puts right what has changed; several may do so together.

        Args:
            rows: as they are now, at each step.
            told: what has changed since it was asked for this order.
        """
        if self._making is None:
            self._making = self._make(list(rows.values()))
        while not self._made:
            next(self._making, None)
            yield
        news = self.news
        while True:
            for req_id, was in told(self):
                news.setdefault(req_id, was)
            if not news:
                return
            for _ in range(min(_A_STEP, len(news))):
                req_id, was = news.popitem()
                self._change(was, rows.get(req_id))
            if news:
                yield

    def _make(self, rows: Sequence[RequestRow]) -> Iterator[None]:
        yield  # a copy of 100,000 rows is work enough
        parts: dict[tuple[str, Kind], list[RequestRow]] = {}
        for chunk in chunks(rows, _A_LOOK):
            for row in chunk:
                parts.setdefault(self._place(row), []).append(row)
            yield
        for (owner, kind), part in parts.items():
            in_order: list[RequestRow] = yield from leading(part, self.key, len(part))
            self._owners.setdefault(owner, {})[kind] = SortedRows(self.key, in_order)
            yield
        self._made = True

    def _place(self, row: RequestRow) -> tuple[str, Kind]:
        return row.owner_name if self._by_owner else _EVERYBODY, (row.state, row.priority)

    def _change(self, was: RequestRow | None, row: RequestRow | None) -> None:
        if was is not None and row is not None and self.key(was) == self.key(row):
            place = self._place(row)
            if place == self._place(was):
                self._bucket(*place).replace(row)
                return
        if was is not None:
            self._take_out(was)
        if row is not None:
            self._bucket(*self._place(row)).add(row)

    def _bucket(self, owner: str, kind: Kind) -> Bucket:
        buckets = self._owners.setdefault(owner, {})
        if kind not in buckets:
            buckets[kind] = SortedRows(self.key)
        return buckets[kind]

    def _take_out(self, row: RequestRow) -> None:
        owner, kind = self._place(row)
        buckets = self._owners[owner]
        buckets[kind].remove(row)
        if not buckets[kind]:
            del buckets[kind]
            if not buckets:
                del self._owners[owner]

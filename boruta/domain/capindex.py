"""Finds what may fit by what it is about, so that most pairs are never looked at.

Boards stand under every term that their capabilities answer to. A bucket stands under the terms
of one requirement alone, the one that the fewest boards answer to: boards without any of these
terms cannot fit. A negation answers to no term; a bucket of nothing else stands under `ANY`,
which all shapes have, and is looked at always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from boruta.domain.pools import Boards, Bucket, Node
from boruta.domain.requirements import PRESENT, Requirement, has_range, members
from boruta.domain.types import UUID_CAP

# (key, member), (key,) for any value of the key, (key, "", "") for a value with a range, or ANY
Term: TypeAlias = tuple[str, ...]
ANY: Final[Term] = ()

N = TypeVar("N", bound=Node)


class _Table(Generic[N]):
    """Nodes under terms, in the order in which they came."""

    def __init__(self) -> None:
        self._under: dict[Term, dict[N, None]] = {}

    def add(self, node: N, terms: Iterable[Term]) -> None:
        for term in terms:
            self._under.setdefault(term, {})[node] = None

    def remove(self, node: N, terms: Iterable[Term]) -> None:
        for term in terms:
            there = self._under[term]
            del there[node]
            if not there:
                del self._under[term]

    def count(self, terms: Iterable[Term]) -> int:
        under = self._under
        return sum(len(under[term]) for term in terms if term in under)

    def find(self, terms: Iterable[Term]) -> list[N]:
        found: dict[N, None] = {}
        for term in terms:
            there = self._under.get(term)
            if there:
                found.update(there)
        return list(found)


class CapIndex:
    """All boards and buckets, by terms."""

    def __init__(self) -> None:
        self._boards: _Table[Boards] = _Table()
        self._buckets: _Table[Bucket] = _Table()
        self._anchors: dict[Bucket, frozenset[Term]] = {}

    def add_boards(self, boards: Boards) -> list[Bucket]:
        """Takes boards in; the buckets that they may fit."""
        terms = _terms_of_boards(boards)
        self._boards.add(boards, terms)
        return self._buckets.find(terms)

    def remove_boards(self, boards: Boards) -> None:
        """Forgets boards."""
        self._boards.remove(boards, _terms_of_boards(boards))

    def add_bucket(self, bucket: Bucket) -> list[Boards]:
        """Takes a bucket in; the boards that may fit it."""
        anchor = self._anchor(bucket)
        self._anchors[bucket] = anchor
        self._buckets.add(bucket, anchor)
        return self._boards.find(anchor)

    def remove_bucket(self, bucket: Bucket) -> None:
        """Forgets a bucket."""
        self._buckets.remove(bucket, self._anchors.pop(bucket))

    def candidates(self, bucket: Bucket) -> list[Boards]:
        """The boards that may fit a bucket, which need not be taken in."""
        return self._boards.find(self._anchor(bucket))

    def answering(self, part: Requirement) -> list[Boards]:
        """The boards that may meet one requirement."""
        if not part.negated:
            return self._boards.find(_terms_of(part))
        return self._boards.find(((UUID_CAP,) if part.key == UUID_CAP else ANY,))

    def _anchor(self, bucket: Bucket) -> frozenset[Term]:
        parts = bucket.wanted.parts
        if bucket.pinned:
            parts = tuple(part for part in parts if part.key == UUID_CAP)
        choices = [_terms_of(part) for part in parts if not part.negated]
        return min(choices, key=self._boards.count, default=frozenset((ANY,)))


def _terms_of(part: Requirement) -> frozenset[Term]:
    """What boards must answer to, one of these, to meet a requirement that is no negation."""
    key = part.key
    if part.ranges or part.text == PRESENT:
        return frozenset(((key,),))
    terms: set[Term] = {(key, literal) for literal in part.literals}
    terms.add((key, part.text))
    if part.numbers:
        terms.add((key, "", ""))
    return frozenset(terms)


def _terms_of_boards(boards: Boards) -> list[Term]:
    if UUID_CAP in boards.caps:  # one worker by its name: for those who name it alone
        return _terms_of_caps({UUID_CAP: boards.caps[UUID_CAP]})
    return [ANY, *_terms_of_caps(boards.caps)]


def _terms_of_caps(caps: Mapping[str, str]) -> list[Term]:
    terms: list[Term] = []
    for key, value in caps.items():
        terms.append((key,))
        terms.extend((key, member) for member in members(value))
        if has_range(value):
            terms.append((key, "", ""))
    return terms

"""Reads the tables, numbers and test vectors of a page of documentation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
_NUMBER = r"\d[\d,]*(?:\.\d+)?"


@dataclass(frozen=True, slots=True)
class Vector:
    """One test vector; `kind` is ``TYPE body``, ``TYPE reply``, ``TYPE notice`` or ``error``."""

    name: str
    kind: str
    message: dict[str, Any]
    frame: bytes


def read(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, title: str, level: int = 2) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    marks = "#" * level
    found = re.search(
        rf"^{marks} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.M | re.S
    )
    assert found, f"no heading {marks} {title}"
    return found[1]


def parts(text: str, level: int = 3) -> dict[str, str]:
    """Heading -> text of the parts of a section."""
    pieces = re.split(rf"^{'#' * level} (.*)\n", text, flags=re.M)
    return {title.strip("`"): body for title, body in zip(pieces[1::2], pieces[2::2], strict=True)}


def tables(text: str) -> list[list[list[str]]]:
    """The tables: rows of cells, without their heads."""
    found = re.findall(r"^\|.*\|\n\|[-| ]+\|\n((?:\|.*\|\n?)*)", text, re.M)
    return [
        [
            [cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in rows.splitlines()
        ]
        for rows in found
    ]


def fields(text: str, what: str) -> list[tuple[str, str, str]]:
    """(name, mark, type) of the table under ``what:``; none where it says that it is empty."""
    if re.search(rf"^{what}: (empty\.|a map of plain facts)", text, re.M):
        return []
    found = re.search(rf"^{what}:\n\n((?:\|.*\|\n?)+)", text, re.M)
    assert found, f"no table {what} in {text[:80]!r}"
    return [(row[0].strip("`"), row[1], row[2]) for row in tables(found[1])[0]]


def numbers(text: str) -> list[tuple[str, tuple[float, ...]]]:
    """Each ``**5 s** (`NAME`)`` of the text: the name and its numbers, in order."""
    return [
        (name, tuple(float(one.replace(",", "")) for one in re.findall(_NUMBER, words)))
        for words, name in re.findall(r"\*\*(\d[^*\n]*)\*\*\s+\(`([A-Z_]+)`\)", text)
    ]


def vectors(text: str) -> list[Vector]:
    """The test vectors."""
    return [
        Vector(name, kind, _plain(json.loads(value)), bytes.fromhex(dump))
        for name, kind, value, dump in re.findall(
            r"^\*\*(.*?)\*\*.*\n\n```vector (.*)\n(.*\n(?:[ }].*\n)*?)((?:[0-9a-f]{2}[ \n]+)+)```",
            text,
            re.M,
        )
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$time"}:
        return datetime.fromisoformat(value["$time"])
    if value.keys() == {"$bytes"}:
        return bytes.fromhex(value["$bytes"])
    return {name: _plain(one) for name, one in value.items()}

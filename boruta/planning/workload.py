"""What a farm is asked for over time: recorded by a farm, or described in a few lines.

Recorded: the array that `boruta requests --all -o json` prints. Described, in TOML::

    hours = 24
    [[requests]]
    caps = ["arch=armv7l"]      # words as on the command line
    per_hour = 12.0             # they come at random times
    hold = "20m"                # the mean; most are shorter, some much longer
    priority = 8                # may be left out
    groups = ["lab"]            # likewise
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from boruta.domain import defaults
from boruta.domain.durations import parse_duration, parse_time
from boruta.domain.errors import BadConfig, BadRequest, BorutaError
from boruta.domain.policy import check_priority
from boruta.domain.requirements import parse_cap_words, parse_caps
from boruta.domain.types import Capabilities, Groups, Priority
from boruta.guarded import read_bounded

_TIMES: Final = ("created", "valid_after", "started", "ended")


class Asked(NamedTuple):
    """One request: when it comes (seconds from the start), and how long it holds its board."""

    at: float
    caps: Capabilities
    hold_s: float
    priority: Priority
    groups: Groups


class Workload(NamedTuple):
    """Requests in the order in which they come; `left_out` were never served or still run."""

    asked: tuple[Asked, ...]
    left_out: int = 0

    @property
    def lasts_s(self) -> float:
        """From the first request to the last one."""
        return self.asked[-1].at - self.asked[0].at if self.asked else 0.0


_MOST_BYTES: Final = 1 << 28  # some millions of requests


def load(path: Path, seed: int = 0) -> Workload:
    """Reads a workload.

    Args:
        path: JSON if its name ends in .json, else TOML.
        seed: for the random times of a described one.

    Raises:
        BadConfig: it cannot be read; names the file and the entry.
    """
    try:
        text = read_bounded(path, _MOST_BYTES).decode()
        if path.suffix == ".json":
            found = recorded(json.loads(text))
        else:
            found = described(tomllib.loads(text), seed)
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from None
    except (ValueError, BorutaError) as error:
        raise BadConfig(f"{path}: {error}") from None
    if not found.asked:
        raise BadConfig(f"{path}: no request in it held a board (left out: {found.left_out})")
    return found


def recorded(items: object) -> Workload:
    """The requests of a list as JSON has them; those that held no board to the end are left out.

    Raises:
        BadRequest: it is no such list.
    """
    if not isinstance(items, list):
        raise BadRequest("want an array, as `boruta requests --all -o json` prints it")
    now = datetime.min.replace(tzinfo=UTC)  # of no use: the times are whole ones
    found: list[tuple[datetime, Asked]] = []
    for number, item in enumerate(items, 1):
        try:
            if item["started"] is None or item["ended"] is None:
                continue
            created, valid, started, ended = (parse_time(item[name], now) for name in _TIMES)
            check_priority(item["priority"])
            asked = Asked(
                0.0,
                Capabilities(item["caps"]),
                max(0.0, (ended - started).total_seconds()),
                item["priority"],
                tuple(item["owner"]["groups"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"entry {number}: no request as JSON has it ({error!r})") from None
        parse_caps(asked.caps)
        found.append((max(created, valid), asked))
    found.sort(key=lambda pair: pair[0])
    first = found[0][0] if found else now
    placed = (asked._replace(at=(when - first).total_seconds()) for when, asked in found)
    return Workload(tuple(placed), len(items) - len(found))


def described(table: Mapping[str, Any], seed: int) -> Workload:
    """Requests that come at random, as the table says.

    Raises:
        BadRequest: an entry is missing or makes no sense.
    """
    draw = random.Random(f"{seed} workload")
    hours = _number(table, "hours", "the workload")
    kinds = table.get("requests")
    if not isinstance(kinds, Sequence) or isinstance(kinds, str) or not kinds:
        raise BadRequest("want at least one [[requests]]")
    found: list[Asked] = []
    for number, kind in enumerate(kinds, 1):
        where = f"requests {number}"
        words = kind.get("caps", [])
        caps = parse_cap_words([words] if isinstance(words, str) else words)
        parse_caps(caps)
        per_hour = _number(kind, "per_hour", where)
        mean = parse_duration(kind.get("hold", 0))
        if mean <= 0:
            raise BadRequest(f'{where}: hold: want how long a board is held, as hold = "20m"')
        priority = kind.get("priority", defaults.PRIORITY)
        check_priority(priority)
        at = draw.expovariate(per_hour / 3600)
        while at < hours * 3600:
            hold = draw.expovariate(1 / mean)
            found.append(Asked(at, caps, hold, priority, tuple(kind.get("groups", ()))))
            at += draw.expovariate(per_hour / 3600)
    return Workload(tuple(sorted(found, key=lambda asked: asked.at)))


def _number(table: Mapping[str, Any], name: str, where: str) -> float:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise BadRequest(f"{where}: {name}: want a number above 0, got {value!r}")
    return float(value)

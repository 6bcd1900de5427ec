"""One figure, beside the limit or the alternative that was measured in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any


def result(
    name: str,
    value: float,
    unit: str,
    better: str,
    limit: float | None = None,
    limit_what: str = "",
) -> dict[str, Any]:
    """A result as `python -m benchmarks --json` writes it.

    Args:
        name: what was measured; ``... @ SIZE`` where it was measured at several sizes.
        value: the figure.
        unit: its unit.
        better: "higher" or "lower".
        limit: the limit or the alternative, in the same unit.
        limit_what: what the limit is.
    """
    ratio = None if not limit else value / limit
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "better": better,
        "limit": limit,
        "limit_what": limit_what,
        "ratio": ratio,
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of them lie; the median for 50."""
    if percent == 50:
        return statistics.median(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * percent / 100))]

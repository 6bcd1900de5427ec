"""Waits drawn: for a terminal, and as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from boruta.domain.durations import format_duration

STEPS_S: Final = (10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
BAR: Final = 24
_WIDE, _HIGH, _EDGE = 640, 320, 48
_COLOURS: Final = ("#666666", "#0066cc", "#cc5500", "#228833")
Waits = Sequence[float | None]


def shares(waits: Waits) -> list[tuple[str, float]]:
    """Which part of all requests waited how long; every row of the chart, longest last."""
    rows, before = [], -1.0
    for step in STEPS_S:
        count = sum(wait is not None and before < wait <= step for wait in waits)
        rows.append((f"up to {format_duration(step)}", count / len(waits)))
        before = step
    longer = sum(wait is not None and wait > before for wait in waits)
    rows.append(("longer", longer / len(waits)))
    rows.append(("no board", sum(wait is None for wait in waits) / len(waits)))
    return rows


def bar(share: float) -> str:
    """A bar for a cell, with its percentage."""
    full = "#" * math.ceil(share * BAR)
    return f"{full} {share:.0%}" if share else "-"


def svg(curves: Mapping[str, Waits]) -> str:
    """For each farm, which part of the requests had a board after how long."""
    most = max((wait for waits in curves.values() for wait in waits if wait), default=1.0)
    wide, high = _WIDE - 2 * _EDGE, _HIGH - 2 * _EDGE
    # Waits differ by orders of magnitude: a logarithmic scale from a second on.
    scale = math.log10(1 + most)
    drawn = []
    for (name, waits), colour, line in zip(curves.items(), _COLOURS, range(4), strict=False):
        served = sorted(wait for wait in waits if wait is not None)
        points = [(_EDGE, _HIGH - _EDGE)]
        for number, wait in enumerate(served, 1):
            x = round(_EDGE + wide * math.log10(1 + wait) / scale)
            points += [(x, points[-1][1]), (x, round(_HIGH - _EDGE - high * number / len(waits)))]
        points.append((_WIDE - _EDGE, points[-1][1]))
        path = " ".join(f"{x},{y}" for x, y in dict.fromkeys(points))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(
            f'<text x="{_WIDE - _EDGE}" y="{_HIGH - _EDGE - 12 - 16 * line}" fill="{colour}" '
            f'text-anchor="end">{escape(name)}</text>'
        )
    for step in (1.0, *STEPS_S):
        if step <= most:
            at = _EDGE + wide * math.log10(1 + step) / scale
            drawn.append(
                f'<text x="{at:.0f}" y="{_HIGH - _EDGE + 16}" text-anchor="middle">'
                f"{format_duration(step)}</text>"
            )
    for part in (0, 50, 100):
        y = _HIGH - _EDGE - high * part / 100
        drawn.append(f'<text x="{_EDGE - 6}" y="{y + 4:.0f}" text-anchor="end">{part} %</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="{_WIDE}" height="{_HIGH}" fill="white"/>'
        f'<text x="{_EDGE}" y="24" font-size="14">Requests that have a board after a wait of</text>'
        f'<polyline points="{_EDGE},{_EDGE} {_EDGE},{_HIGH - _EDGE} {_WIDE - _EDGE},'
        f'{_HIGH - _EDGE}" fill="none" stroke="#999999"/>{"".join(drawn)}</svg>\n'
    )

"""Growth over size as SVG: one picture a figure that was measured at several sizes."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

WIDE: Final = 480
HIGH: Final = 300
EDGE: Final = 60


def plot(results: Sequence[dict[str, Any]], folder: Path) -> Iterator[Path]:
    """Draws every figure named ``NAME @ SIZE``; the paths of the pictures."""
    series: dict[str, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
    for one in results:
        name, at, size = one["name"].rpartition(" @ ")
        if at:
            series[name].append((float(size.replace(",", "")), one))
    folder.mkdir(parents=True, exist_ok=True)
    for name, points in series.items():
        path = folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".svg")
        path.write_text(_svg(name, sorted(points, key=lambda point: point[0])))
        yield path


def _svg(name: str, points: Sequence[tuple[float, dict[str, Any]]]) -> str:
    sizes = [math.log10(size) for size, _ in points]
    values = [float(one["value"]) for _, one in points]
    top = max(values) * 1.1 or 1.0
    span = (max(sizes) - min(sizes)) or 1.0

    def x(size: float) -> float:
        return EDGE + (size - min(sizes)) / span * (WIDE - 2 * EDGE)

    def y(value: float) -> float:
        return HIGH - EDGE - value / top * (HIGH - 2 * EDGE)

    unit = escape(str(points[0][1]["unit"]))
    line = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(sizes, values, strict=True))
    marks = "".join(
        f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="3"/>'
        f'<text x="{x(s):.1f}" y="{y(v) - 8:.1f}" text-anchor="middle">{v:,.4g}</text>'
        f'<text x="{x(s):.1f}" y="{HIGH - EDGE + 18}" text-anchor="middle">{10**s:,.0f}</text>'
        for s, v in zip(sizes, values, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{HIGH}" '
        f'font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDE}" height="{HIGH}" fill="white"/>'
        f'<text x="{EDGE}" y="24" font-size="14">{escape(name)} ({unit})</text>'
        f'<polyline points="{EDGE},{EDGE} {EDGE},{HIGH - EDGE} {WIDE - EDGE},{HIGH - EDGE}" '
        f'fill="none" stroke="#999"/>'
        f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>'
        f'<g fill="#06c">{marks}</g></svg>\n'
    )

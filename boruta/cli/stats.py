"""`boruta stats`: how a farm is used."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from boruta.cli import output as out
from boruta.cli.options import Duration, client, connection, output

if TYPE_CHECKING:
    from boruta.domain.statistics import FarmStats, Spread

DAY_S: Final = 86_400.0


@click.command(epilog="Example: boruta stats --last 7h -o json")
@connection
@click.option(
    "--last", type=Duration(), default=DAY_S, metavar="DURATION", help="Look back so far; 24h."
)
@output
def stats(last: float, output: str) -> None:
    """Show boards by state, the queue by priority, waits, holds and turn-over.

    It looks at what the server still knows: of ended requests the last 10,000.
    """
    from boruta.domain.errors import UsageError
    from boruta.domain.statistics import farm_stats

    if last <= 0:
        raise UsageError("--last: want a duration above 0")
    with client() as boruta:
        requests, _ = boruta.list_requests()
        workers, _ = boruta.list_workers()
    found = farm_stats(requests, workers, datetime.now(UTC), last)
    if output == "json":
        out.print_json(asdict(found))
    else:
        out.fields(_lines(found))


def _lines(stats: FarmStats) -> list[tuple[str, str]]:
    from boruta.domain.durations import format_duration

    boards = ", ".join(f"{count} {state}" for state, count in sorted(stats.boards.items()))
    queue = ", ".join(f"{count} of priority {prio}" for prio, count in stats.waiting.items())
    if stats.longest_wait_s is not None:
        queue += f"; the longest waits for {format_duration(round(stats.longest_wait_s))}"
    over = ", ".join(f"{count} {state}" for state, count in sorted(stats.outcomes.items()))
    window = format_duration(round(stats.window_s))
    return [
        ("boards", (boards or "none") + (f"; {stats.offline} offline" if stats.offline else "")),
        ("queue", queue or "empty"),
        ("waits", _spread(stats.waits)),
        ("holds", _spread(stats.holds)),
        ("ended", over or "none"),
        ("turn-over", f"{stats.jobs_per_hour:.1f} jobs an hour"),
        ("in use", f"{stats.held_share:.0%} of the boards' time"),
        ("over", f"the last {window}"),
    ]


def _spread(spread: Spread) -> str:
    from boruta.domain.durations import format_duration

    if spread.p50_s is None or spread.p95_s is None:
        return "-"
    p50, p95 = (format_duration(round(value, 1)) for value in (spread.p50_s, spread.p95_s))
    return f"p50 {p50}, p95 {p95}, of {spread.count}"

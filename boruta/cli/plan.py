"""`boruta plan`: what more boards would change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from boruta.cli import output as out
from boruta.cli.options import Duration, client, connection, output
from boruta.cli.talk import tell
from boruta.domain.errors import UsageError

if TYPE_CHECKING:
    from boruta.planning.run import Kind, Outcome
    from boruta.planning.workload import Workload

MOST_BOARDS: Final = 10_000


@click.command(epilog="Example: boruta plan --workload week.json --boards 2 --plot waits.svg")
@connection
@click.option(
    "--workload", required=True, metavar="FILE",
    help="What is asked for: requests as JSON, or a description in TOML.",
)  # fmt: skip
@click.option("--boards", default=1, metavar="N", help="So many boards more; 1.")
@click.option(
    "-c", "--cap", "caps", multiple=True, metavar="CAP",
    help="What the new boards are; else as those that are waited for longest.",
)  # fmt: skip
@click.option("--farm", metavar="FILE", help="Today's boards, from boruta workers -o json.")
@click.option("--prepare", type=Duration(), default=10.0, metavar="DURATION",
              help="Between two jobs on a board; 10s.")  # fmt: skip
@click.option("--seed", default=0, metavar="N", help="Of what is random; 0.")
@click.option("--plot", metavar="FILE", help="Draw the waits, as SVG.")
@output
def plan(
    workload: str,
    boards: int,
    caps: tuple[str, ...],
    farm: str | None,
    prepare: float,
    seed: int,
    plot: str | None,
    output: str,
) -> None:
    """Show how long a workload waits with today's boards, and with N more.

    The real engine runs it in virtual time. A workload is what boruta requests --all -o json
    printed (in a file named *.json), or a description (docs/cli.md).
    """
    from boruta.domain.requirements import parse_cap_words
    from boruta.planning.run import Kind, simulate, wanted_most
    from boruta.planning.workload import load

    if not 0 < boards <= MOST_BOARDS:
        raise UsageError(f"--boards {boards}: want 1 to {MOST_BOARDS}")
    asked = load(Path(workload), seed)
    if asked.left_out:
        tell(f"{asked.left_out} requests are left out: they held no board, or still hold one")
    there = _read_farm(farm) if farm else _ask_farm()
    today = simulate(asked, there, seed=seed, prepare_s=prepare)
    if caps:
        kind: Kind | None = Kind(parse_cap_words(caps))
    else:
        kind = wanted_most(asked, today, there)
    if kind is None:
        raise UsageError(
            "no known board fits what is waited for longest; say what the new ones are: -c CAP"
            if today.waits.p95_s or today.never_served
            else "nobody waits: more boards change nothing (say which all the same: -c CAP)"
        )
    more = simulate(asked, [*there, *[kind] * boards], seed=seed, prepare_s=prepare)
    if plot:
        from boruta.planning.chart import svg

        names = (f"today: {today.boards} boards", f"{more.boards} boards")
        Path(plot).write_text(svg(dict(zip(names, (today.waits_s, more.waits_s), strict=True))))
    if output == "json":
        out.print_json(_json(asked, kind, boards, today, more))
    else:
        _print(asked, kind, boards, today, more)


def _ask_farm() -> list[Kind]:
    from boruta.planning.run import Kind

    with client() as boruta:
        infos, _ = boruta.list_workers()
    return [Kind(info.caps.without_uuid(), info.groups) for info in infos]


def _read_farm(path: str) -> list[Kind]:
    import json

    from boruta.domain.errors import BadConfig
    from boruta.domain.types import Capabilities
    from boruta.planning.run import Kind

    try:
        items = json.loads(Path(path).read_text())
        return [
            Kind(Capabilities(item["caps"]).without_uuid(), tuple(item["groups"])) for item in items
        ]
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise BadConfig(f"{path}: no list of workers as JSON has it ({error!r})") from None


def _json(
    asked: Workload, kind: Kind, boards: int, today: Outcome, more: Outcome
) -> dict[str, Any]:
    return {
        "requests": len(asked.asked),
        "left_out": asked.left_out,
        "lasts_s": asked.lasts_s,
        "added": {"boards": boards, "caps": dict(kind.caps), "groups": list(kind.groups)},
        "today": _outcome_json(today),
        "more": _outcome_json(more),
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    served = [wait for wait in outcome.waits_s if wait is not None]
    return {
        "boards": outcome.boards,
        "waits": {
            "count": outcome.waits.count,
            "p50_s": outcome.waits.p50_s,
            "p95_s": outcome.waits.p95_s,
            "max_s": max(served, default=None),
        },
        "never_served": outcome.never_served,
        "most_waiting": outcome.most_waiting,
        "held_share": outcome.held_share,
    }


def _print(asked: Workload, kind: Kind, boards: int, today: Outcome, more: Outcome) -> None:
    from boruta.domain.durations import format_duration
    from boruta.planning.chart import bar, shares

    what = out.caps_words(kind.caps) or "no capabilities"
    groups = f" in {' '.join(kind.groups)}" if kind.groups else ""
    lasts = format_duration(round(asked.lasts_s))
    tell(f"{len(asked.asked)} requests over {lasts}; {boards} more of {what}{groups}")
    head = ("", f"today: {today.boards} boards", f"{more.boards} boards")
    rows = [[name, *(value(one) for one in (today, more))] for name, value in _FIGURES.items()]
    for (name, before), (_, after) in zip(shares(today.waits_s), shares(more.waits_s), strict=True):
        rows.append([f"waited {name}" if name != "no board" else name, bar(before), bar(after)])
    out.table(head, rows)


def _seconds(value: float | None) -> str:
    from boruta.domain.durations import format_duration

    return "-" if value is None else format_duration(round(value, 1))


_FIGURES: Final[dict[str, Callable[[Outcome], str]]] = {
    "wait p50": lambda one: _seconds(one.waits.p50_s),
    "wait p95": lambda one: _seconds(one.waits.p95_s),
    "most waiting at once": lambda one: str(one.most_waiting),
    "boards in use": lambda one: f"{one.held_share:.0%}",
}

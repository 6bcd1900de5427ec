"""The simulation from the command line."""

from __future__ import annotations

import argparse
import logging
import sys

from boruta.testing.simulation.farm import Load
from boruta.testing.simulation.faults import Faults
from boruta.testing.simulation.sweep import Outcome, Plan, Total, parse_seeds, run_one, sweep

_DAY_S = 86_400.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m boruta.testing.simulation",
        description="A farm in virtual time, from one seed. Ends with 1 if an invariant breaks.",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="one run")
    parser.add_argument("--seeds", metavar="N|A..B", help="many runs; prints those that fail")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (all cores)")
    parser.add_argument("--workers", type=int, default=20, metavar="N", help="boards")
    parser.add_argument("--days", type=float, default=0.25, metavar="D", help="virtual days")
    parser.add_argument(
        "--busy", type=float, default=Load.busy, metavar="SHARE", help="of the boards that is held"
    )
    parser.add_argument(
        "--hold", type=float, default=Load.hold_s, metavar="S", help="how long, on average"
    )
    parser.add_argument("--trace", action="store_true", help="prints every step on stdout")
    parser.add_argument("--log", action="store_true", help="prints the programs' own logs")
    parser.add_argument(
        "--faults",
        default="1",
        metavar="RATE|NAME=RATE,...",
        help="all faults RATE times as often as usual (0: none), or only those named",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one simulation, or many; 0 if every invariant held, else 1."""
    parser = _parser()
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO if options.log else logging.CRITICAL)
    try:
        Faults.parse(options.faults)
    except ValueError as error:
        parser.error(f"--faults: {error}")
    if min(options.workers, options.days, options.busy, options.hold) <= 0:
        parser.error("--workers, --days, --busy and --hold: more than nothing")
    plan = Plan(options.workers, options.days * _DAY_S, options.faults, options.busy, options.hold)
    if options.seeds is None:
        return _one(run_one(options.seed, plan, print if options.trace else None), plan)
    try:
        seeds = parse_seeds(options.seeds)
    except ValueError as error:
        parser.error(f"--seeds: {error}")
    return _many(seeds, plan, options.jobs)


def _one(outcome: Outcome, plan: Plan) -> int:
    found = outcome.summary
    print(f"seed           {found.seed}")
    print(f"virtual time   {found.virtual_s / _DAY_S:.3f} days in {outcome.took_s:.1f} s")
    print(f"steps          {found.steps}")
    print(f"requests       {found.accepted} accepted, {found.jobs} jobs, {found.logins} logins")
    print(f"ended          {_counts(found.ended)}")
    print(f"server lives   {found.lives}")
    print(f"faults         {_counts(found.faults)}")
    print(f"digest         {found.digest}")
    return _failed(outcome, plan) if outcome.broken else 0


def _many(seeds: range, plan: Plan, jobs: int) -> int:
    total = Total()
    for outcome in sweep(seeds, plan, jobs):
        total.add(outcome)
        if outcome.broken:
            _failed(outcome, plan)
        if total.seeds % max(1, len(seeds) // 20) == 0 or total.seeds == len(seeds):
            print(
                f"{total.seeds}/{len(seeds)} seeds, {total.hours:.0f} simulated hours, "
                f"{total.hours / max(total.took_s, 1e-9):.1f} a second of one core, "
                f"{len(total.failed)} failed",
                flush=True,
            )
    print(f"requests       {total.accepted} accepted, {total.jobs} jobs, {total.logins} logins")
    faults = dict(sorted(total.faults.items()))
    print(f"faults         {sum(faults.values())}: {_counts(faults)}")
    if not total.failed:
        print(f"all {total.seeds} seeds hold")
        return 0
    print("failing seeds  " + " ".join(str(one.seed) for one in total.failed))
    return 1


def _failed(outcome: Outcome, plan: Plan) -> int:
    print(f"BROKEN         seed {outcome.seed}: {outcome.broken}")
    print(f"again          {plan.again(outcome.seed)}", flush=True)
    return 1


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())

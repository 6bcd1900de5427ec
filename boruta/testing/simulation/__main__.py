"""The simulation from the command line."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from boruta.testing.simulation import Faults, Simulation, Violation


def main(argv: list[str] | None = None) -> int:
    """Runs one simulation; 0 if every invariant held, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m boruta.testing.simulation",
        description="A farm in virtual time, from one seed. Ends with 1 if an invariant breaks.",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=20, metavar="N")
    parser.add_argument("--days", type=float, default=1.0, metavar="D", help="virtual days")
    parser.add_argument("--trace", action="store_true", help="prints every step on stdout")
    parser.add_argument("--log", action="store_true", help="prints the programs' own logs")
    parser.add_argument(
        "--faults", default="1", metavar="RATE|NAME=RATE,...",
        help="all faults RATE times as often as usual (0: none), or only those named",
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO if options.log else logging.CRITICAL)
    try:
        faults = Faults.parse(options.faults)
    except ValueError as error:
        parser.error(f"--faults: {error}")
    trace = print if options.trace else None
    farm = Simulation(options.seed, options.workers, faults, trace=trace)
    began, broken = time.perf_counter(), None
    try:
        farm.run(options.days * 86_400.0)
        farm.settle()
    except Violation as violation:
        broken = violation
    took = time.perf_counter() - began
    found = farm.summary()
    print(f"seed           {found.seed}")
    print(f"virtual time   {found.virtual_s / 86_400:.3f} days in {took:.1f} s")
    print(f"steps          {found.steps}")
    print(f"requests       {found.accepted} accepted, {found.jobs} jobs, {found.logins} logins")
    print("ended          " + (", ".join(f"{k} {v}" for k, v in found.ended.items()) or "none"))
    print(f"server lives   {found.lives}")
    print("faults         " + (", ".join(f"{k} {v}" for k, v in found.faults.items()) or "none"))
    print(f"digest         {found.digest}")
    if broken is not None:
        print(f"BROKEN         {broken}")
        print(
            f"again          python -m boruta.testing.simulation --seed {options.seed} "
            f"--workers {options.workers} --days {options.days} --faults {options.faults}"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

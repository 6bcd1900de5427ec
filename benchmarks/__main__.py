"""Measures, and prints each figure beside the limit or the alternative measured in the same run.

usage: python -m benchmarks [NAME...] [--json FILE] [--quick] [--plot DIR]

Where BENCHMARKS_SCALE is "tiny" it only shows that all of it works: that is for tests.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.plot import plot
from benchmarks.scale import Scale

# name -> what it measures; each is a module of this package with `run(scale) -> list of results`.
BENCHMARKS: Final = {
    "actors": "the actor runtime beside stock Pykka",
    "jobs": "whole jobs a second, in process and over ZeroMQ",
    "durable_jobs": "whole jobs a second with a store that survives, beside bare inserts",
    "commit": "what a store adds to a submit, beside the bare commit",
    "recover": "from the start of a server to its first answer, by length of the queue",
    "takeover": "until another server answers, after a kill, a stop, a cut, a hand-over",
    "queue": "new requests a second as the queue grows",
    "listing": "pages out of a long list, and how long they hold the loop",
    "memory": "bytes of a queued request, and of a large farm",
    "latency": "from new_request to IN PROGRESS, idle and at half load",
    "agent": "what one agent takes of a small board, beside bare Python",
    "agents": "thousands of agents on one server",
    "back": "1,000 agents that come back to a server that was killed",
    "wire": "round trips beside raw ZeroMQ",
    "tunnel": "bytes through a tunnel beside direct loopback",
    "ssh": "ssh to a board beside stock sshd",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures, beside a limit measured in the same run.",
        epilog="; ".join(f"{name}: {what}" for name, what in BENCHMARKS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--json", metavar="FILE", help="also write the results there")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, a rough figure")
    parser.add_argument("--plot", metavar="DIR", help="draw what was measured at several sizes")
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    scale = Scale.QUICK if given.quick else Scale.FULL
    if os.environ.get("BENCHMARKS_SCALE"):
        scale = Scale(os.environ["BENCHMARKS_SCALE"])
    results: list[dict[str, Any]] = []
    for name in given.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name]} ...", file=sys.stderr, flush=True)
        found = importlib.import_module(f"benchmarks.{name}").run(scale)
        results += found
        _print(found)
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=2) + "\n")
    if given.plot:
        for path in plot(results, Path(given.plot)):
            print(path)
    return 0


def _print(results: Sequence[dict[str, Any]]) -> None:
    for one in results:
        better = {"higher": "more is better", "lower": "less is better"}[one["better"]]
        beside = ""
        if one.get("limit") is not None:
            beside = f"   {one['limit_what']}: {one['limit']:,.4g} (ratio {one['ratio']:.3g})"
        print(f"  {one['name']:<52} {one['value']:>12,.4g} {one['unit']:<10} {better}{beside}")


if __name__ == "__main__":
    sys.exit(main())

"""A large farm's agents on one server: what their beats cost, what others notice, a restart.

Agents of `benchmarks.crowd` with CURVE keys in two other processes, a beat each every 5 s. The
server is the real one. Each of them takes one file descriptor of the server and two of its own
process, so that `ulimit -n` bounds how many fit: half of it in each process.
"""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.server import running

CROWD: Final = "benchmarks.crowd"
PROCESSES: Final = 2
SETTLES_S: Final = 5.0  # after all have come: boards are prepared
# What is aimed at with 10,000.
CPU_PERCENT: Final = 25.0
CALL_MS: Final = 20.0
BACK_S: Final = 60.0


def fitting(wanted: int) -> int:
    """How many agents the limit of file descriptors allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 200, PROCESSES * (hard - 200) // 2)


def run(scale: Scale) -> list[dict[str, Any]]:
    """Processor time of the server, calls beside it, and the way back after a restart."""
    sizes = scale.pick((500, 2_000, 10_000), (100, 500), (4,))
    seconds = scale.pick(5.0, 5.0, 0.3)
    found = []
    for wanted in sizes:
        size = fitting(wanted)
        last = wanted == sizes[-1]
        found += _measure(size, scale.pick(30.0, 10.0, 0.3) if last else seconds, last, scale)
    return found


def _measure(size: int, seconds: float, restart: bool, scale: Scale) -> list[dict[str, Any]]:
    at = f"@ {size:,}"
    with running(size, PROCESSES, CROWD) as (server, crowds):
        time.sleep(scale.pick(SETTLES_S, 2.0, 0.1))
        before, began = server.cpu_s(), time.monotonic()
        calls = asyncio.run(_calls(server.data, seconds))
        share = 100 * (server.cpu_s() - before) / (time.monotonic() - began)
        found = [
            result(
                f"agents, server's share of a core {at}", share, "%", "lower", CPU_PERCENT,
                "what it should be at most",
            ),
            *(
                result(
                    f"agents, a call beside them, p{percent} {at}",
                    1e3 * percentile(calls, percent), "ms", "lower", CALL_MS,
                    "what it should be at most",
                )
                for percent in (50, 99)
            ),
        ]  # fmt: skip
        if restart:
            server.stop()
            began = time.monotonic()
            server.start()
            for crowd in crowds:
                crowd.wait()
            back = time.monotonic() - began
            name, beside = f"agents, all back after a restart {at}", "what it should be at most"
            found.append(result(name, back, "s", "lower", BACK_S, beside))
    return found


async def _calls(data: Path, seconds: float) -> list[float]:
    """How long calls take that come 50 times a second."""
    from boruta.aio import connect

    took = []
    async with connect(data=data) as client:
        req_id = await client.new_request({"arch": "other"}, 8)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            await client.get_request_info(req_id)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
    return took

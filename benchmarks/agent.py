"""What one agent takes of a small board: memory, processor, time to start; beside bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.server import ServerProcess, cpu_s

ACCOUNT: Final = "boruta-bench"
AGENT: Final = (sys.executable, "-m", "dryad", "run", "--ssh-address", "127.0.0.1:0")
CONFIG: Final = """
server = "{url}"
server_key = "{server_key}"
key = "{key}"
data = "{data}"
sessions = "{sessions}"
trust_holders = true
[caps]
UUID = "bench-{sessions}"
[user]
name = "{account}"
"""


def _rss_kb(pid: int) -> int:
    """Resident memory of a process, shared pages too."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Rss:")[1].split()[0])


def _bare() -> tuple[float, float]:
    """Seconds to start, and MB, of an interpreter that does nothing."""
    began = time.perf_counter()
    words = [sys.executable, "-c", "print(flush=True); input()"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    took = time.perf_counter() - began
    memory = _rss_kb(process.pid) / 1000
    process.communicate(b"\n")
    return took, memory


def _measure(server: ServerProcess, place: Path, sessions: str, idle_s: float) -> tuple[float, ...]:
    """Seconds until it is registered, MB when it is prepared and idle, part of a core then."""
    facts = server.facts
    config = place / f"{sessions}.toml"
    config.write_text(
        CONFIG.format(
            url=facts["url"],
            server_key=facts["server_key"],
            key=server.data / "keys" / "local.key_secret",
            data=place / sessions,
            sessions=sessions,
            account=ACCOUNT,
        )
    )
    began = time.perf_counter()
    process = subprocess.Popen([*AGENT, "--config", str(config)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if " registered " in line:
                break
        took = time.perf_counter() - began
        for line in process.stderr:
            if " prepare " in line:
                break
        time.sleep(min(2.0, idle_s))
        used_s, at = cpu_s(process.pid), time.perf_counter()
        time.sleep(idle_s)
        used = (cpu_s(process.pid) - used_s) / max(0.001, time.perf_counter() - at)
        return took, _rss_kb(process.pid) / 1000, 100 * used
    finally:
        process.terminate()
        process.communicate()


def run(scale: Scale) -> list[dict[str, Any]]:
    """Seconds, MB and part of a core, for each way to let holders in."""
    idle_s = scale.pick(60.0, 15.0, 0.2)
    kinds = ("system", "embedded") if os.geteuid() == 0 else ("embedded",)
    bare_s, bare_mb = min(_bare() for _ in range(5))
    found = []
    with tempfile.TemporaryDirectory(prefix="boruta-bench-") as text:
        place = Path(text)
        server = ServerProcess(place)
        server.start()
        try:
            for kind in kinds:
                _measure(server, place, kind, 0.0)  # its first life makes account and host key
                took, memory, used = _measure(server, place, kind, idle_s)
                found += [
                    result(f"start until registered, {kind}", took, "s", "lower",
                           bare_s, "start of bare Python"),
                    result(f"resident memory, idle, {kind}", memory, "MB", "lower",
                           bare_mb, "bare Python"),
                    result(f"part of a core, idle, {kind}", used, "%", "lower"),
                ]  # fmt: skip
        finally:
            server.stop()
            if "system" in kinds:
                from dryad.sessions import account

                account.remove(ACCOUNT)
    return found

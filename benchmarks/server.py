"""A server process and boards in processes of their own, for what goes over ZeroMQ."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CONFIG = '[workers]\ninitial = "idle"\n[log]\nlevel = "warning"\n'


@contextlib.contextmanager
def farm(boards: int, processes: int = 1) -> Iterator[Path]:
    """A server with boards that are IDLE; its data directory."""
    with tempfile.TemporaryDirectory(prefix="boruta-bench-") as name:
        place = Path(name)
        (place / "boruta.toml").write_text(CONFIG)
        data = place / "data"
        command = [sys.executable, "-c", "from boruta.cli.main import main; main()", "server"]
        command += ["--data", str(data), "--bind", "tcp://127.0.0.1:0"]
        command += ["--config", str(place / "boruta.toml")]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
        children = [server]
        try:
            while not (data / "server.json").exists():
                if server.poll() is not None:
                    raise SystemExit("the server did not start")
                time.sleep(0.02)
            facts = json.loads((data / "server.json").read_text())
            each = boards // processes
            for number in range(processes):
                command = [sys.executable, "-m", "benchmarks.boards", facts["url"]]
                command += [facts["server_key"], str(data / "keys" / "local.key_secret")]
                child = subprocess.Popen(
                    [*command, str(number * each), str(each)], stdout=subprocess.PIPE, text=True
                )
                children.append(child)
            for child in children[1:]:
                assert child.stdout is not None
                if child.stdout.readline().strip() != "registered":
                    raise SystemExit("the boards did not register")
            yield data
        finally:
            for child in reversed(children):
                child.terminate()
            for child in children:
                child.wait()
                if child.stdout is not None:
                    child.stdout.close()

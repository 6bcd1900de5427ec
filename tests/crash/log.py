"""Lines that outlive whoever writes them, stamped by the clock that all processes share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def boot() -> float:
    """Seconds since the machine was started: the same for all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Log:
    """A file that several processes append to; a SIGKILL loses no line that was written."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, **fields: Any) -> None:
        """Appends one line."""
        line = json.dumps({"at": round(boot(), 6), **fields}) + "\n"
        os.write(self._fd, line.encode())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, in the order of their writing."""
    for line in path.read_text().splitlines():
        yield json.loads(line)


def settled(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls' outcomes; those that have none yet come last, as `no_answer`."""
    found, open_ = [], {}
    for line in lines:
        if "sent" in line:
            open_[line["by"], line["call"]] = line
        else:
            sent = open_.pop((line["by"], line.get("call")), None)
            found.append({**line, "sent_at": sent["at"]} if sent else line)
    pending = [{**line, **line["sent"], "error": "no_answer"} for line in open_.values()]
    return found + pending

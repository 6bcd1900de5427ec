"""All that is beside the server: processes of boards, and one of clients, forked from this one.

Run as `python -m tests.crash.crowd PLACE URL SERVER_KEY PEOPLE SEED BOARDS...`; the last are how
many boards each process has. Says `boards N PID` and `people PID`. Boards that are killed are
started again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from tests.crash import boards, people
from transport.client import Address

_PR_SET_PDEATHSIG: Final = 1


def fork(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """A process that runs it and dies with this one."""
    pid = os.fork()
    if pid:
        print(name, pid, flush=True)
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    status = 1
    try:
        asyncio.run(run())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """The process that forks the others."""
    place, url, server_key, count, seed, *sizes = sys.argv[1:]
    where, address = Path(place), Address(url, server_key)
    firsts = [sum(map(int, sizes[:number])) for number in range(len(sizes))]
    numbers = [range(first, first + int(size)) for first, size in zip(firsts, sizes, strict=True)]

    def some_boards(number: int) -> int:
        return fork(f"boards {number}", lambda: boards.run(where, address, numbers[number]))

    there = {some_boards(number): number for number in range(len(sizes))}
    fork("people", lambda: people.run(where, url, server_key, int(count), int(seed)))
    while True:
        pid, status = os.wait()
        number = there.pop(pid, None)
        if number is None or os.WIFEXITED(status):
            raise SystemExit(f"{'people' if number is None else 'boards'} ended: {status}")
        there[some_boards(number)] = number


if __name__ == "__main__":
    main()

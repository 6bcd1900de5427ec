"""Where the `dryad` command begins: before anything heavy is loaded."""

from __future__ import annotations

import os
import sys

from dryad.lean import keep_one_heap, leave_out_the_unused


def main() -> int:
    """Runs the command; the exit status."""
    keep_one_heap()
    if os.geteuid() == 0 and "asyncio" not in sys.modules:
        leave_out_the_unused()  # holders of root's agents are let in by OpenSSH itself
    from dryad.cli import main as command

    return command()

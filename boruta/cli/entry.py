"""Where the installed command `boruta` begins and ends: Ctrl-C never leaves a traceback."""

from __future__ import annotations

import signal
import sys
from typing import Final

INTERRUPTED: Final = 128 + 2  # as of any program that SIGINT ends
BROKEN_PIPE: Final = 128 + 13  # as of any program that SIGPIPE ends


def main() -> None:
    """Loads the command, runs it and exits with its status."""
    try:
        from boruta.cli.main import main as command

        command()
    except KeyboardInterrupt:  # before the command was there to take it
        sys.exit(INTERRUPTED)
    finally:
        # What happened has happened, and its status is known: ending takes a moment.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

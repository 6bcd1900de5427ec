"""The three streams of a command, also where whoever started it has closed some of them."""

from __future__ import annotations

import io
import os
import sys


def forgive_encoding() -> None:
    """What stdout or stderr cannot say in its encoding is escaped; the rest is said."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def open_closed() -> None:
    """Opens what is closed to nowhere: a socket must not get its number, nor print() fail."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        got = os.open(os.devnull, os.O_RDWR)
        if got != number:
            os.dup2(got, number)
            os.close(got)
        setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115

"""What is said to the person on stderr; stdout carries results alone."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Final

import click

ERASE: Final = "\r\x1b[J"  # the waiting lines: the cursor stays at the begin of the first
# Whoever writes on stderr holds it: the waiting line and other lines must not mix.
stderr_lock: Final = threading.RLock()
_waiting_lines: Final[list[object]] = []  # those on the terminal now, one at most


def clean(text: str) -> str:
    """Text of others, safe on a terminal: control characters are replaced (SAFETY, C3)."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def tell(text: str) -> None:
    """One line for the person. Who wrote parts of it steers no terminal and feigns no line."""
    shown = clean(text.replace("\n", " "))
    # Nobody reads stderr any more: that is no reason to give up what is under way.
    with stderr_lock, contextlib.suppress(BrokenPipeError):
        click.echo((ERASE if _waiting_lines else "") + shown, err=True)


def waiting_line(who: object, *, shown: bool) -> None:
    """Lines that will go stand on the terminal, or no more: `tell` erases them first."""
    with stderr_lock:
        if shown and who not in _waiting_lines:
            _waiting_lines.append(who)
        elif not shown and who in _waiting_lines:
            _waiting_lines.remove(who)


def coloured() -> bool:
    """Whether stdout is a terminal that wants colours (https://no-color.org)."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in ("", "dumb")
    )

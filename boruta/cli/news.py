"""Tells the person of a connection that is lost and of its return, in his words."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator

from boruta.cli.talk import tell


class LinkNews(logging.Handler):
    """Tells of a connection that was up and is lost, and that it is back; once each.

    What a first attempt meets is the caller's error, and told as such.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._was_up = False
        self._away = False

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the link's own events; others are no business of a person at a terminal."""
        last = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        match str(record.msg).partition(" ")[0]:
            case "link_up":
                if self._away:
                    self._say("boruta: the server is back")
                self._was_up, self._away = True, False
            case "link_down" if self._was_up and not self._away:
                self._away = True
                self._say(f"boruta: {last}; trying again")


@contextlib.contextmanager
def link_news(say: Callable[[str], None] = tell) -> Iterator[None]:
    """Has losses of the connection told while the block runs; raw logs stay off stderr.

    With BORUTA_DEBUG in the environment they are printed too.
    """
    link, root = logging.getLogger("boruta.link"), logging.getLogger()
    news, level = LinkNews(say), link.level
    # The root's, or Python prints warnings of any library by its handler of last resort.
    quiet: logging.Handler = logging.NullHandler()
    if os.environ.get("BORUTA_DEBUG"):
        quiet = logging.StreamHandler()
    link.addHandler(news)
    link.setLevel(logging.INFO)
    root.addHandler(quiet)
    try:
        yield
    finally:
        root.removeHandler(quiet)
        link.setLevel(level)
        link.removeHandler(news)

"""Texts that people write and others read: how long, and which characters."""

from __future__ import annotations

import unicodedata
from typing import Final

from boruta.domain import defaults
from boruta.domain.errors import BadRequest, TooLarge

LINE_BREAKS: Final = "\n\t"
# Text runs the other way from here: what is shown is not what is there.
_TURNS: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def clean_text(text: str, limit: int = defaults.REASON_BYTES) -> str:
    """A text from elsewhere made fit to be kept and shown: nobody is refused for it."""
    shown = "".join(
        char if char in LINE_BREAKS or not _is_control(char) else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
    return shown.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def check_size(what: str, text: str, limit: int) -> None:
    """Refuses a text that is too long.

    Args:
        what: how the error calls it.
        text: its bytes in UTF-8 count.
        limit: bytes.

    Raises:
        BadRequest: it is no text.
        TooLarge: it is too long.
    """
    if not isinstance(text, str):
        raise BadRequest(f"{what}: {text!r} is no text"[:200])
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise TooLarge(f"{what}: has {size} bytes (at most {limit})", limit=limit)


def check_printable(what: str, text: str, *, allowed: str) -> None:
    """Refuses characters that would play with a terminal; `allowed` ones may be there.

    Raises:
        BadRequest: the text names the first one and its place.
    """
    if text.isprintable():
        return
    for place, char in enumerate(text, 1):
        if _is_control(char) and char not in allowed:
            raise BadRequest(
                f"{what}: the character U+{ord(char):04X} at place {place} cannot be shown "
                "(want printable text)"
            )


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _TURNS

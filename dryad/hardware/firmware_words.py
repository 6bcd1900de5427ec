"""How the STM's firmware reads words: its tokens, numbers, keywords and colours."""

from __future__ import annotations

import re
from typing import Final

TOKENS: Final = 10
_BLANKS: Final = b" \t\n\v\f\r"
_NUMBER: Final = re.compile(r"(-?)(?:0x([0-9a-f]+)|0b([01]+)|(0[0-7]*)|([1-9][0-9]*))", re.I)
HELP: Final = """\
help
  this text
version
echo [on|off]
  default is on
power [on|off]
power tick [ms]
  off, a while, on; 1000 without a number
hdmi [on|off]
dyper 1|2 [on|off]
mux [ts|dut]
dut
ts
led [n [r g b]]
clr
text x y color text
draw point x y color
draw line x1 y1 x2 y2 color
draw rectangle left top width height color
draw circle x y radius color
  color is on, off or inv

adc [channel]
voltage [channel]
current [auto|n]
lthor switch|id|combo [usb|uart]
lthor vbus [on|off]
key [1|2]
uart [mV]"""


class BadArguments(Exception):
    """The command answers `Error processing command`."""


def tokens(line: bytes) -> list[str]:
    """The words of a command as the firmware cuts them: the tenth is the last, and blanks at the
    end beyond the first make one empty word.
    """
    found: list[str] = []
    at = 0
    while at < len(line) and len(found) < TOKENS:
        while at < len(line) and line[at] in _BLANKS:
            at += 1
        end = at
        while end < len(line) and line[end] not in _BLANKS:
            end += 1
        found.append(line[at:end].decode("latin-1"))
        at = end + 1
    return found


def number(word: str) -> int | None:
    """A number of the firmware's: decimal, 0x, 0b, octal with a leading 0; None: none."""
    found = _NUMBER.fullmatch(word)
    if found is None:
        return None
    for group, base in ((2, 16), (3, 2), (4, 8), (5, 10)):
        if found[group]:
            value = int(found[group], base)
            return -value if found[1] else value
    return None


def is_(word: str, keyword: str) -> bool:
    """Keywords match as prefixes, in any case."""
    return word.lower().startswith(keyword)


def one_of(word: str, *keywords: str) -> str:
    """The keyword that `word` begins with."""
    for keyword in keywords:
        if is_(word, keyword):
            return keyword
    raise BadArguments


def switch(word: str) -> bool:
    """Whether `word` says on."""
    return one_of(word, "on", "off") == "on"


def channel(word: str) -> int:
    """A channel of the ADC; 0 is none and accepted."""
    channel = number(word) or 0
    if not 0 <= channel <= 5:
        raise BadArguments
    return channel


def painted(old: str, new: str, colour: str) -> str:
    """What can be read where `new` is drawn over `old`."""
    if colour == "clean" or new == old:
        return " " if new == old and colour in ("off", "inv") else new
    if colour == "off":
        return old if old == " " else "#"
    return new if old == " " else "#"  # the pixels of both

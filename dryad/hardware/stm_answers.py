"""What an STM says, cut into lines and answers; no port is needed for that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from boruta.domain.errors import InfraError

LONGEST: Final = 512  # bytes of a line that makes sense; what is longer is noise
MOST_LINES: Final = 64  # of one answer; `help` has 29
_PRESSED: Final = re.compile(rb"pressed: ([12])\r\Z")
_BLANKS: Final = b" \t\v\f\r\x00"
_GLUED: Final = re.compile(r"(ts|dut|invalid)OK")  # `mux` forgets its line's end
REFUSALS: Final = ("Error processing command", "Unknown command")
SIGNS: Final = 16  # characters in a line of the display
_WORDS: Final = 6  # words that `text` reads


class StmError(InfraError):
    """The STM cannot be used, or does not do what it should; the text says what was seen."""


class PortUnusable(StmError):
    """The port is missing, busy, no serial port, or gone."""


class StmSilent(StmError):
    """No whole answer came in its time."""


class StmGarbled(StmError):
    """What came is no answer to the command: noise, or the stream was out of step."""


class StmRefused(StmError):
    """The firmware does not know the command, or not its arguments."""


class Lines:
    """Bytes to lines, however they are cut. Keys that were pressed are taken out.

    A key may be told between two characters of an echo: what stood before goes on after it.
    """

    def __init__(self) -> None:
        self._line = bytearray()

    def feed(self, data: bytes) -> list[str | int]:
        """The lines that are complete now, without blanks around them, and the keys as numbers."""
        found: list[str | int] = []
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._line += part
            key = _PRESSED.search(self._line)
            if key is not None:
                found.append(int(key[1]))
                del self._line[key.start() :]
                continue
            line = bytes(self._line).strip(_BLANKS)
            self._line.clear()
            if line:
                found.append(line[:LONGEST].decode("latin-1"))
        self._line += rest
        if len(self._line) > LONGEST:
            del self._line[:-LONGEST]  # its end may be a key or a terminator
        return found

    def clear(self) -> None:
        """Forgets a line that is not complete."""
        self._line.clear()


class Answer:
    """Collects the answer to one command.

    Args:
        command: what was sent, without its line's end.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.data: list[str] = []
        self.echoed = False
        self.refused = ""
        self.complete = False

    def take(self, line: str) -> None:
        """One more line; nothing is taken once it is complete."""
        if self.complete:
            return
        if not self.data and not self.echoed and line == " ".join(self.command.split()):
            self.echoed = True
            return
        glued = _GLUED.fullmatch(line) if self.command == "mux" else None
        if glued is not None:
            self.data.append(glued[1])
        elif line in REFUSALS:
            self.refused = line
        elif line != "OK":
            if len(self.data) < MOST_LINES:
                self.data.append(line)
            return
        self.complete = True

    def read(self, *shapes: re.Pattern[str]) -> list[re.Match[str]]:
        """Its data lines, one for each shape.

        Raises:
            StmRefused: it is a refusal.
            StmGarbled: it has other lines.
        """
        if self.refused:
            raise StmRefused(f"{self.command}: {self.refused}")
        found = [shape.fullmatch(line) for shape, line in zip(shapes, self.data, strict=False)]
        matches = [one for one in found if one is not None]
        if len(self.data) != len(shapes) or len(matches) != len(shapes):
            raise StmGarbled(f"{self.command}: unexpected answer: {shown(self.data)}")
        return matches


def shown(lines: Sequence[str]) -> str:
    """Lines as an error may quote them."""
    text = ", ".join(ascii(line) for line in lines[:3]) or "nothing"
    return text if len(text) <= 120 else text[:117] + "..."


def clean_text(text: str) -> str:
    """`text` as one line of the display can show it; perhaps empty.

    The firmware would run over its memory with more than 16 characters or with others than
    printable ASCII, and reads six words.
    """
    lines = display_lines(text, 1)
    return lines[0] if lines else ""


def display_lines(text: str, most: int = 2) -> list[str]:
    """`text` broken at blanks into lines that the display can show; the rest is left out."""
    signs = "".join(sign if " " <= sign <= "~" else " " if sign.isspace() else "?" for sign in text)
    lines: list[str] = []
    count = 0
    for word in signs[: 4 * LONGEST].split():
        fits = lines and count < _WORDS and len(lines[-1]) + 1 + len(word) <= SIGNS
        if fits:
            lines[-1] += f" {word}"
            count += 1
        elif len(lines) < most:
            lines.append(word[:SIGNS])
            count = 1
        else:
            break
    return lines

"""The terminal of an interactive session: made, set as the client asks, resized."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Mapping

# Opcodes of RFC 4254, section 8.
_CHARACTERS = {
    1: termios.VINTR, 2: termios.VQUIT, 3: termios.VERASE, 4: termios.VKILL, 5: termios.VEOF,
    6: termios.VEOL, 7: termios.VEOL2, 8: termios.VSTART, 9: termios.VSTOP, 10: termios.VSUSP,
    12: termios.VREPRINT, 13: termios.VWERASE, 14: termios.VLNEXT, 18: termios.VDISCARD,
}  # fmt: skip
_IN, _OUT, _CONTROL, _LOCAL = range(4)  # places in what tcgetattr gives
_CHARS = 6
_FLAGS = {
    30: (_IN, termios.IGNPAR), 31: (_IN, termios.PARMRK), 32: (_IN, termios.INPCK),
    33: (_IN, termios.ISTRIP), 34: (_IN, termios.INLCR), 35: (_IN, termios.IGNCR),
    36: (_IN, termios.ICRNL), 38: (_IN, termios.IXON), 39: (_IN, termios.IXANY),
    40: (_IN, termios.IXOFF), 41: (_IN, termios.IMAXBEL), 42: (_IN, 0o40000),
    50: (_LOCAL, termios.ISIG), 51: (_LOCAL, termios.ICANON), 53: (_LOCAL, termios.ECHO),
    54: (_LOCAL, termios.ECHOE), 55: (_LOCAL, termios.ECHOK), 56: (_LOCAL, termios.ECHONL),
    57: (_LOCAL, termios.NOFLSH), 58: (_LOCAL, termios.TOSTOP), 59: (_LOCAL, termios.IEXTEN),
    60: (_LOCAL, termios.ECHOCTL), 61: (_LOCAL, termios.ECHOKE), 70: (_OUT, termios.OPOST),
    72: (_OUT, termios.ONLCR), 73: (_OUT, termios.OCRNL), 74: (_OUT, termios.ONOCR),
    75: (_OUT, termios.ONLRET),
}  # fmt: skip
_NO_CHARACTER = 255  # the RFC's "disabled"


def open_terminal(size: tuple[int, int, int, int], modes: Mapping[int, int]) -> tuple[int, int]:
    """A new terminal's two ends: ours, and the one for the program.

    Args:
        size: columns, rows, width and height in pixels.
        modes: opcodes of RFC 4254 and their values; unknown ones are ignored.
    """
    master, slave = os.openpty()
    try:
        resize(master, size)
        settings = termios.tcgetattr(slave)
        for opcode, value in modes.items():
            if opcode in _CHARACTERS:
                character = b"\0" if value == _NO_CHARACTER else bytes([value & 0xFF])
                settings[_CHARS][_CHARACTERS[opcode]] = character
            elif opcode in _FLAGS:
                place, flag = _FLAGS[opcode]
                settings[place] = settings[place] | flag if value else settings[place] & ~flag
        with contextlib.suppress(termios.error):  # a combination that this kernel refuses
            termios.tcsetattr(slave, termios.TCSANOW, settings)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def resize(master: int, size: tuple[int, int, int, int]) -> None:
    """Tells the terminal, and by a signal its programs, the new size."""
    columns, rows, width, height = (min(max(number, 0), 0xFFFF) for number in size)
    packed = struct.pack("HHHH", rows, columns, width, height)
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, packed)


def end_of_input(fd: int) -> None:
    """The client's input ended: a program that reads lines sees it; `fd` is closed."""
    with contextlib.suppress(OSError, termios.error):
        settings = termios.tcgetattr(fd)
        os.write(fd, settings[_CHARS][termios.VEOF])
    os.close(fd)

"""The firmware of a MuxPi's STM, without a wire: bytes in, bytes out, and a state to look at.

It equals the published firmware (version 1.0) to the byte, its oddities included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from dryad.hardware.firmware_words import (
    HELP,
    TOKENS,
    BadArguments,
    channel,
    is_,
    number,
    one_of,
    painted,
    switch,
    tokens,
)
from dryad.hardware.simulated import OFF, Colour

VERSION: Final = "MuxPi firmware v1.0"
BUFFER: Final = 64  # bytes of one command; more are dropped
QUEUE: Final = 32  # bytes that wait while a command runs; more are lost
LINE: Final = 16  # characters of one line of the display


@dataclass(slots=True)
class Firmware:
    """One STM. What is no private field may be looked at, and set to stage a scene.

    Args:
        echo_works: `echo off` is obeyed; the published firmware echoes whatever it is told.
        echo: whether it echoes after a reset, where `echo_works`.
        raw_current: what the sensor measures while the target has power, in mA.
    """

    echo_works: bool = False
    echo: bool = True
    raw_current: int = 300
    power: bool = False
    mux: Literal["ts", "dut", "invalid"] = "ts"
    hdmi: bool = False
    dyper: list[bool] = field(default_factory=lambda: [False, False])
    leds: list[Colour] = field(default_factory=lambda: [OFF, OFF])
    idle: int = 0  # mA taken off what is measured
    lthor: dict[str, str] = field(default_factory=dict)
    keys: list[bool] = field(default_factory=lambda: [False, False])
    uart_mv: int = 0
    adc: list[int] = field(default_factory=lambda: [230, 0, 2048, 1000, 1500])  # 12 bits, raw
    vref: int = 1500
    lines: list[str] = field(default_factory=list)  # the display, its two lines
    drawn: deque[str] = field(default_factory=lambda: deque(maxlen=100))  # the newest ones
    ticks: int = 0
    crashed: bool = False
    busy_s: float | None = None  # how long the command takes that runs; None: none does
    _echoing: bool = True
    _buffer: bytearray = field(default_factory=bytearray)
    _waiting: bytearray = field(default_factory=bytearray)
    _pressed: deque[int] = field(default_factory=lambda: deque(maxlen=2))

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts anew: what was set or half received is lost, what is measured is not."""
        self.power, self.mux, self.hdmi = False, "ts", False
        self.dyper, self.leds = [False, False], [OFF, OFF]
        self.idle = self.uart_mv = 0
        self.lthor = {"switch": "USB", "id": "USB", "vbus": "OFF"}
        self.lines = ["*  MuxPi  *", "HW: 1.0 SW: 1.0"]
        self.crashed, self.busy_s = False, None
        self._echoing = self.echo
        for queue in (self._buffer, self._waiting, self._pressed):
            queue.clear()

    @property
    def echoes(self) -> bool:
        """Whether what is sent comes back."""
        return self._echoing or not self.echo_works

    @property
    def display(self) -> str:
        """What can be read on it."""
        return "\n".join(self.lines).strip()

    # --- what comes in
    def feed(self, data: bytes) -> bytes:
        """What it says to `data`. A tick sets `busy_s`; then `tick_over` must be called."""
        said = bytearray()
        for byte in data:
            if self.crashed:
                break
            if self.busy_s is not None:
                if len(self._waiting) < QUEUE:
                    self._waiting.append(byte)
            elif byte in b"\r\n":
                said += b"\n\r" if self.echoes else b""
                line = bytes(self._buffer)
                self._buffer.clear()
                said += self._line(line)
            else:
                if len(self._buffer) < BUFFER:
                    self._buffer.append(byte)
                if self.echoes:
                    said.append(byte)
        return bytes(said)

    def tick_over(self) -> bytes:
        """The tick that made it busy is over: its answer, and those to what came meanwhile."""
        if self.busy_s is None:
            return b""
        self.busy_s, self.power = None, True
        self.ticks += 1
        said = b"OK\r\n"
        while self._pressed:
            said += b"pressed: %d\r\n" % self._pressed.popleft()
        waiting = bytes(self._waiting)
        self._waiting.clear()
        return said + self.feed(waiting)

    def press(self, key: Literal[1, 2]) -> bytes:
        """Somebody presses a key: what it says."""
        if self.crashed:
            return b""
        if self.busy_s is not None:
            if len(self._pressed) < 2:
                self._pressed.append(key)
            return b""
        return b"pressed: %d\r\n" % key

    def _line(self, line: bytes) -> bytes:
        words = tokens(line)
        if not words:
            return b""
        command = _COMMANDS.get(words[0])
        if command is None:
            return b"Unknown command\r\n"
        try:
            said = command(self, words[1:])
        except BadArguments:
            return b"Error processing command\r\n"
        if self.crashed:
            return b""
        return said.encode("latin-1") + (b"" if self.busy_s is not None else b"OK\r\n")

    # --- commands: the words after the first -> data lines
    def _help(self, _: list[str]) -> str:
        return "".join(f"{line}\r\n" for line in HELP.split("\n"))

    def _version(self, _: list[str]) -> str:
        return f"{VERSION}\r\n"

    def _echo(self, words: list[str]) -> str:
        self._echoing = switch(words[0]) if words else not self.echoes
        return f"Echo is {'on' if self._echoing else 'off'} now.\r\n"

    def _power(self, words: list[str]) -> str:
        if not words:
            return "on\r\n" if self.power else "off\r\n"
        if is_(words[0], "tick"):
            ms = (number(words[1]) if len(words) > 1 else 0) or 1000
            self.power, self.busy_s = False, (ms % 2**32) / 1000  # negative: about 49 days
            return ""
        self.power = switch(words[0])
        return ""

    def _hdmi(self, words: list[str]) -> str:
        self.hdmi = bool(words) and switch(words[0])
        return ""

    def _dyper(self, words: list[str]) -> str:
        if len(words) < 2:
            raise BadArguments
        which, on = number(words[0]), switch(words[1])
        if which is None:
            return ""
        if not 0 <= which <= 2:
            raise BadArguments
        self.dyper[0 if which == 1 else 1] = on
        return ""

    def _mux(self, words: list[str]) -> str:
        if not words:
            return self.mux  # the firmware forgets the line's end
        self.mux = "ts" if one_of(words[0], "ts", "dut") == "ts" else "dut"
        return ""

    def _dut(self, _: list[str]) -> str:
        self.mux, self.power = "dut", True
        return ""

    def _ts(self, _: list[str]) -> str:
        self.mux, self.power = "ts", False
        return ""

    def _led(self, words: list[str]) -> str:
        if len(words) not in (0, 1, 4):
            raise BadArguments
        which = number(words[0]) if words else None
        if words and which not in (1, 2):
            raise BadArguments
        if len(words) == 4:
            r, g, b = ((number(word) or 0) % 256 for word in words[1:])
            self.leds[(which or 1) - 1] = (r, g, b)
            return ""
        shown = (1, 2) if which is None else (which,)
        return "".join("led{}: {},{},{}\r\n".format(n, *self.leds[n - 1]) for n in shown)

    def _clr(self, _: list[str]) -> str:
        self.lines = ["", ""]
        self.drawn.clear()
        return ""

    def _text(self, words: list[str]) -> str:
        if len(words) < 4:
            raise BadArguments
        x, y = number(words[0]) or 0, number(words[1]) or 0
        if not 0 <= x <= 128 or not 0 <= y <= 32:
            raise BadArguments
        text = " ".join(words[3:])
        if len(text) > LINE:
            self.crashed = True  # the buffer is overrun
            return ""
        self.drawn.append(f"text {' '.join(words)}")
        if y > 3:
            return ""  # outside the frame buffer
        row = 0 if y == 0 else 1
        cells = list(self.lines[row].ljust(LINE))
        for column, sign in enumerate(text, x // 8):
            if column < LINE:
                cells[column] = painted(cells[column], sign, words[2])
        self.lines[row] = "".join(cells).rstrip()
        return ""

    def _draw(self, words: list[str]) -> str:
        needed = {"point": 3, "line": 5, "rectangle": 5, "circle": 3}  # circle: one too low
        if not words or len(words) - 1 < needed.get(words[0], TOKENS):
            raise BadArguments
        self.drawn.append(f"draw {' '.join(words)}")
        return ""

    def _adc(self, words: list[str]) -> str:
        if words:
            which = channel(words[0])
            return f"adc{which}: {self.adc[which - 1]}\r\n"
        lines = "".join(f"adc{n}: {value}\r\n" for n, value in enumerate(self.adc, 1))
        return f"{lines}vrefint: {self.vref}\r\n"

    def _voltage(self, words: list[str]) -> str:
        channels = (channel(words[0]),) if words else (1, 2, 3, 4)
        return "".join(f"adc{n}: {self.adc[n - 1] * 3300 // 4095}\r\n" for n in channels)

    def _current(self, words: list[str]) -> str:
        if not words:
            return f"{max(0, self.raw_current - self.idle) if self.power else 0}\r\n"
        if is_(words[0], "auto"):
            self.idle = self.raw_current if self.power else 0
            return ""
        idle = number(words[0])
        if idle is None:
            raise BadArguments
        self.idle = idle
        return f"{idle}\r\n"

    def _lthor(self, words: list[str]) -> str:
        what = one_of(words[0] if words else "", "switch", "id", "vbus", "comb")
        if what == "comb":
            if len(words) < 2:
                raise BadArguments
            return ""
        if len(words) < 2:
            return f"{self.lthor[what]}\r\n"
        if what == "vbus":
            self.lthor[what] = "OFF" if is_(words[1], "off") else "ON"
        else:
            self.lthor[what] = "USB" if is_(words[1], "usb") else "UART"
        return ""

    def _key(self, words: list[str]) -> str:
        stands = ["pressed" if key else "released" for key in self.keys]
        if not words:
            return f"key1: {stands[0]}\r\nkey2: {stands[1]}\r\n"
        which = number(words[0])
        if which is None:
            raise BadArguments
        return f"{stands[0 if which == 1 else 1]}\r\n"

    def _uart(self, words: list[str]) -> str:
        if not words:
            return f"{5000 - self.uart_mv}\r\n"
        self.uart_mv = number(words[0]) or 0
        return ""


_COMMANDS: Final[dict[str, Callable[[Firmware, list[str]], str]]] = {
    name: getattr(Firmware, f"_{name}")
    for name in (
        "help",
        "version",
        "echo",
        "power",
        "hdmi",
        "dyper",
        "mux",
        "dut",
        "ts",
        "led",
        "clr",
        "text",
        "draw",
        "adc",
        "voltage",
        "current",
        "lthor",
        "key",
        "uart",
    )
}

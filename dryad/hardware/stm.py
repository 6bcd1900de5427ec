"""A MuxPi's STM: each command of its firmware as a method.

What the firmware would misread never reaches it: numbers are held to their range, texts to what the
display has signs for. A relay, an LED or a channel that does not exist is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast

from boruta.domain.errors import BadRequest
from dryad.hardware.simulated import Colour
from dryad.hardware.stm_answers import (
    PortUnusable,
    StmError,
    StmGarbled,
    StmRefused,
    StmSilent,
    clean_text,
)
from dryad.hardware.stm_line import VERSION, StmLine

__all__ = [
    "PORT",
    "PortUnusable",
    "Stm",
    "StmError",
    "StmGarbled",
    "StmRefused",
    "StmSilent",
]

PORT: Final = "/dev/ttyS2"  # where a MuxPi has its STM
MOST_TICK_S: Final = 60.0  # the firmware hears nothing while it waits
MOST_UART_MV: Final = 5000

Side: TypeAlias = Literal["ts", "dut"]
Paint: TypeAlias = Literal["on", "off", "inv", "clean"]

_SWITCH: Final = re.compile(r"(on|off)", re.I)
_MUX: Final = re.compile(r"(ts|dut|invalid)")
_NUMBER: Final = re.compile(r"(-?\d{1,9})")
_RGB: Final = r": (\d{1,3}),(\d{1,3}),(\d{1,3})"
_LTHOR: Final = re.compile(r"(USB|UART)")
_KEY: Final = r"(pressed|released)"


@dataclass(slots=True)
class Remembered:
    """What was set and cannot be read back; None: not set by this driver."""

    dyper: list[bool | None] = field(default_factory=lambda: [None, None])
    hdmi: bool | None = None


class Stm(StmLine):
    """One STM. Any method raises StmError if it was not done, or nobody knows whether it was."""

    def __init__(self, path: str = PORT, **options: object) -> None:
        super().__init__(path, **options)  # type: ignore[arg-type]
        self.remembered = Remembered()

    # --- itself
    async def version(self) -> str:
        """The firmware's version, as `1.0`."""
        return (await self.ask("version", VERSION))[0][1]

    async def help(self) -> list[str]:
        """The firmware's own list of commands, without its empty lines."""
        return (await self.converse("help"))[0]

    # --- power and card
    async def power(self) -> bool:
        """Whether the target has power."""
        return (await self.ask("power", _SWITCH))[0][1].lower() == "on"

    async def set_power(self, on: bool) -> None:
        """Switches the target's power."""
        await self.ask(f"power {_switch(on)}")

    async def power_tick(self, seconds: float = 1.0) -> None:
        """Takes the target's power for so many seconds, 0.001 to 60; it is on afterwards."""
        if not seconds == seconds:
            raise BadRequest("a tick of power needs a number of seconds")
        seconds = min(max(seconds, 0.001), MOST_TICK_S)
        ms = max(1, round(seconds * 1000))
        # Not tried again: nobody knows whether a tick that was not answered was made.
        await self.ask(f"power tick {ms}", waits_s=seconds, again=False)

    async def mux(self) -> Literal["ts", "dut", "invalid"]:
        """Where the card is: with the test server, which is this machine, or with the target."""
        found = (await self.ask("mux", _MUX))[0][1]
        return cast(Literal["ts", "dut", "invalid"], found)

    async def set_mux(self, side: Side) -> None:
        """Gives the card to one side; power stays as it is."""
        await self.ask(f"mux {_one_of('side', side, ('ts', 'dut'))}")

    async def dut(self) -> None:
        """The card to the target, and its power on."""
        await self.ask("dut")

    async def ts(self) -> None:
        """The target's power off, and the card to this machine."""
        await self.ask("ts")

    # --- relays and lines
    async def set_hdmi(self, on: bool) -> None:
        """Plugs in, or pulls, what looks like an HDMI cable to the target."""
        await self.ask(f"hdmi {_switch(on)}")
        self.remembered.hdmi = on

    async def set_dyper(self, which: Literal[1, 2], on: bool) -> None:
        """Switches a relay for whatever hangs on it."""
        _one_of("dyper", which, (1, 2))
        await self.ask(f"dyper {which} {_switch(on)}")
        self.remembered.dyper[which - 1] = on

    async def lthor_switch(self) -> Literal["usb", "uart"]:
        """What the target's connector carries."""
        return await self._lthor("switch")

    async def set_lthor_switch(self, to: Literal["usb", "uart"]) -> None:
        """What the target's connector carries from now on."""
        await self.ask(f"lthor switch {_one_of('lthor', to, ('usb', 'uart'))}")

    async def lthor_id(self) -> Literal["usb", "uart"]:
        """What the connector's ID line tells the target."""
        return await self._lthor("id")

    async def set_lthor_id(self, to: Literal["usb", "uart"]) -> None:
        """What the connector's ID line tells the target from now on."""
        await self.ask(f"lthor id {_one_of('lthor', to, ('usb', 'uart'))}")

    async def lthor_vbus(self) -> bool:
        """Whether the connector's VBUS has power."""
        return (await self.ask("lthor vbus", _SWITCH))[0][1].lower() == "on"

    async def set_lthor_vbus(self, on: bool) -> None:
        """Switches the connector's VBUS."""
        await self.ask(f"lthor vbus {_switch(on)}")

    async def set_lthor_combo(self, to: Literal["usb", "uart"]) -> None:
        """The firmware takes this command and does nothing yet."""
        await self.ask(f"lthor combo {_one_of('lthor', to, ('usb', 'uart'))}")

    async def uart(self) -> int:
        """The reference of the target's UART, in mV."""
        # The firmware tells 5000 minus what was set.
        return MOST_UART_MV - await self._number("uart")

    async def set_uart(self, mv: int) -> None:
        """Sets the reference of the target's UART, 0 to 5000 mV."""
        await self.ask(f"uart {_within(mv, 0, MOST_UART_MV)}")

    # --- measuring
    async def current(self) -> int:
        """What the target takes, in mA above the idle offset; 0 without power."""
        return await self._number("current")

    async def zero_current(self) -> None:
        """What is measured now is the idle offset from now on, until the STM restarts."""
        await self.ask("current auto")

    async def set_idle_current(self, ma: int) -> None:
        """Sets the idle offset, in mA, until the STM restarts."""
        await self.ask(f"current {_within(ma, 0, 100_000)}", _NUMBER)

    async def adc(self, channel: int) -> int:
        """A channel of the converter, 1 to 5: raw, 12 bits, the mean of 10."""
        return await self._channel("adc", channel)

    async def adc_all(self) -> dict[str, int]:
        """All channels, raw: adc1 to adc5, and vrefint."""
        names = ("adc1", "adc2", "adc3", "adc4", "adc5", "vrefint")
        return await self._values("adc", names)

    async def voltage(self, channel: int) -> int:
        """A channel of the converter, 1 to 5, in mV."""
        return await self._channel("voltage", channel)

    async def voltage_all(self) -> dict[str, int]:
        """The channels 1 to 4, in mV: adc1 to adc4."""
        return await self._values("voltage", ("adc1", "adc2", "adc3", "adc4"))

    async def key(self, which: Literal[1, 2]) -> bool:
        """Whether a key is held down."""
        _one_of("key", which, (1, 2))
        return (await self.ask(f"key {which}", re.compile(_KEY)))[0][1] == "pressed"

    async def keys(self) -> tuple[bool, bool]:
        """Which keys are held down."""
        one, two = await self.ask("key", re.compile(f"key1: {_KEY}"), re.compile(f"key2: {_KEY}"))
        return one[1] == "pressed", two[1] == "pressed"

    # --- LEDs and display
    async def led(self, which: Literal[1, 2]) -> Colour:
        """An LED's red, green and blue, each 0 to 255."""
        _one_of("led", which, (1, 2))
        found = (await self.ask(f"led {which}", re.compile(f"led{which}{_RGB}")))[0]
        return int(found[1]), int(found[2]), int(found[3])

    async def leds(self) -> tuple[Colour, Colour]:
        """Both LEDs' red, green and blue."""
        found = await self.ask("led", re.compile(f"led1{_RGB}"), re.compile(f"led2{_RGB}"))
        one, two = ((int(x[1]), int(x[2]), int(x[3])) for x in found)
        return one, two

    async def set_led(self, which: Literal[1, 2], colour: Colour) -> None:
        """An LED's red, green and blue, each 0 to 255; 0, 0, 0 is dark."""
        _one_of("led", which, (1, 2))
        r, g, b = (_within(part, 0, 255) for part in colour)
        await self.ask(f"led {which} {r} {g} {b}")

    async def clear_display(self) -> None:
        """Nothing is on the display."""
        await self.ask("clr")

    async def print_text(
        self, text: str, *, line: Literal[0, 1] = 0, x: int = 0, colour: Paint = "on"
    ) -> None:
        """Writes into the upper or lower line, over what is there: clear it first.

        Args:
            text: 16 printable ASCII characters and six words at most; the rest is cut off, other
                characters become `?`.
            line: 0 the upper one, 1 the lower one.
            x: pixels from the left, 0 to 120; a character has 8.
            colour: `on` adds pixels, `off` clears, `inv` turns them, `clean` overwrites.
        """
        text = clean_text(text)
        _one_of("line", line, (0, 1))
        if text:  # nothing to draw is an error to the firmware
            paint = _one_of("colour", colour, ("on", "off", "inv", "clean"))
            await self.ask(f"text {_within(x, 0, 120)} {2 * line} {paint} {text}")

    async def draw_point(self, x: int, y: int, colour: Paint = "on") -> None:
        """One pixel of the 128 x 32; from the upper left, as all that follow."""
        await self._draw("point", (x, y), colour)

    async def draw_line(self, x1: int, y1: int, x2: int, y2: int, colour: Paint = "on") -> None:
        """A line between two pixels."""
        await self._draw("line", (x1, y1, x2, y2), colour)

    async def draw_rectangle(
        self, left: int, top: int, width: int, height: int, colour: Paint = "on"
    ) -> None:
        """The outline of a rectangle, in pixels; it is kept within the display."""
        left, top = _within(left, 0, 127), _within(top, 0, 31)
        width, height = min(max(width, 1), 128 - left), min(max(height, 1), 32 - top)
        await self._draw("rectangle", (left, top, width, height), colour)

    async def draw_circle(self, x: int, y: int, radius: int, colour: Paint = "on") -> None:
        """The outline of a circle, in pixels, no larger than there is room for."""
        x, y = _within(x, 0, 127), _within(y, 0, 31)
        room = min(x, y, 127 - x, 31 - y)
        await self._draw("circle", (x, y, _within(radius, 0, room)), colour)

    # --- how they are asked
    async def _draw(self, shape: str, numbers: tuple[int, ...], colour: str) -> None:
        # The firmware checks no coordinate: what is outside writes over its memory.
        most = (127, 31, 128, 32) if shape == "rectangle" else (127, 31, 127, 31)
        words = [str(_within(n, 0, limit)) for n, limit in zip(numbers, most, strict=False)]
        paint = _one_of("colour", colour, ("on", "off", "inv", "clean"))
        await self.ask(f"draw {shape} {' '.join(words)} {paint}")

    async def _lthor(self, what: str) -> Literal["usb", "uart"]:
        found = (await self.ask(f"lthor {what}", _LTHOR))[0][1].lower()
        return cast(Literal["usb", "uart"], found)

    async def _number(self, command: str) -> int:
        return int((await self.ask(command, _NUMBER))[0][1])

    async def _channel(self, command: str, channel: int) -> int:
        _one_of("channel", channel, (1, 2, 3, 4, 5))
        shape = re.compile(rf"adc{channel}: (-?\d{{1,9}})")
        return int((await self.ask(f"{command} {channel}", shape))[0][1])

    async def _values(self, command: str, names: tuple[str, ...]) -> dict[str, int]:
        found = await self.ask(command, *(re.compile(rf"{n}: (-?\d{{1,9}})") for n in names))
        return {name: int(one[1]) for name, one in zip(names, found, strict=True)}


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _within(value: int, least: int, most: int) -> int:
    return min(max(int(value), least), most)


def _one_of(what: str, value: object, allowed: tuple[object, ...]) -> object:
    if value not in allowed:
        raise BadRequest(f"{what}: {value!r} (allowed: {', '.join(map(str, allowed))})")
    return value

# mypy: disable-error-code="type-abstract"
"""What may be asked of a board's hardware in words, and who may ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from boruta.domain.errors import ActionRefused, BadRequest, BorutaError, NotPermitted
from dryad.board.recorder import (
    LEAST_EVERY_S,
    READINGS,
    READINGS_MOST,
    SECONDS,
    SECONDS_MOST,
    Recorder,
)
from dryad.hardware.port import Hardware, Measured, Showing, Switchable, Watched, Wired

LONGEST_TICK_S: Final = 30.0  # the next prepare waits for it
LONGEST_RECORD_S: Final = 24 * 3600.0

Words: TypeAlias = Sequence[str]
_Side = TypeVar("_Side")  # one of the protocols of hardware
Order: TypeAlias = Callable[[Hardware, Words], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Recording:
    """Readings of the current that were asked for.

    Attributes:
        every_s: between two of them, in seconds.
        for_s: how long.
    """

    every_s: float
    for_s: float


USAGE: Final[Mapping[str, str]] = {
    "power": "power [on|off|tick [SECONDS]]    the target's power; alone: how it is",
    "mux": "mux [ts|dut]                     the card to this machine or to the target",
    "current": "current [--record [SECONDS] [--every SECONDS]]   what the target takes, in mA",
    "record": "record start [READINGS [SECONDS]]|stop|get    the current, kept until asked for",
    "console": "console [--read] [--log]         the target's serial line; Ctrl-] ends it",
    "led": "led 1|2 RED GREEN BLUE           each colour 0 to 255",
    "text": "text [WORD...]                   on the display; alone: clears it",
    "hdmi": "hdmi on|off                      plugs the target's HDMI",
    "dyper": "dyper 1|2 on|off                 a dynamic jumper",
    "ready": "ready                            as for a new holder (root only)",
    "maintenance": "maintenance [WORD...]            shows that somebody works on it (root only)",
}
ADMIN: Final = frozenset({"ready", "maintenance"})


def usage() -> str:
    """What there is, for people."""
    return "".join(f"board {line}\n" for line in USAGE.values())


def check(words: Words, *, admin: bool) -> str:
    """The name of the order.

    Raises:
        BadRequest: there is none of this name.
        NotPermitted: it is root's alone.
    """
    name = words[0] if words else ""
    if name not in USAGE:
        raise BadRequest(f"board: {name!r} (allowed: {', '.join(USAGE)})")
    if name in ADMIN and not admin:
        raise NotPermitted(f"board {name}: only root may")
    return name


async def carry_out(hardware: Hardware, words: Words) -> str:
    """Carries out an order that `check` knows; what it says.

    Raises:
        BadRequest: the words after its name are none of its own.
        ActionRefused: the board has no such thing.
        InfraError: the hardware failed.
    """
    return await _ORDERS[words[0]](hardware, words[1:])


def read_recording(words: Words) -> Recording | None:
    """What `current --record` asks for; None: one reading.

    Raises:
        BadRequest: the words after `current` are none of its own.
    """
    every, lasts = 1.0, LONGEST_RECORD_S
    match list(words):
        case []:
            return None
        case ["--record"]:
            pass
        case ["--record", "--every", often]:
            every = _seconds("current", often, LEAST_EVERY_S, LONGEST_RECORD_S)
        case ["--record", long]:
            lasts = _seconds("current", long, LEAST_EVERY_S, LONGEST_RECORD_S)
        case ["--record", long, "--every", often]:
            lasts = _seconds("current", long, LEAST_EVERY_S, LONGEST_RECORD_S)
            every = _seconds("current", often, LEAST_EVERY_S, LONGEST_RECORD_S)
        case _:
            raise _wrong("current")
    return Recording(every, lasts)


async def record(hardware: Hardware, wanted: Recording) -> AsyncIterator[str]:
    """Lines of seconds since the start and mA; a reading that comes too late is left out."""
    measured = _has(hardware, Measured, "measures no current")
    begun = time.monotonic()
    number = 0
    while (now := time.monotonic() - begun) <= wanted.for_s:
        yield f"{now:.3f},{await measured.current()}\n"
        number = max(number, int((time.monotonic() - begun) / wanted.every_s)) + 1
        await asyncio.sleep(max(0.0, begun + number * wanted.every_s - time.monotonic()))


def keep_record(
    recorder: Recorder, hardware: Hardware, words: Words
) -> tuple[str, BorutaError | None]:
    """Carries out `record`; what it says, and the fault that ended the recording if one did.

    Raises:
        BadRequest: the words after `record` are none of its own.
        ActionRefused: the board measures no current, or nothing was recorded.
    """
    measured = _has(hardware, Measured, "measures no current")
    readings, seconds = READINGS, SECONDS
    match words:
        case ["stop"]:
            recorder.stop()
            return "", None
        case ["get"]:
            return recorder.read()
        case ["start"]:
            pass
        case ["start", many]:
            readings = _whole("record", many, 1, READINGS_MOST)
        case ["start", many, long]:
            readings = _whole("record", many, 1, READINGS_MOST)
            seconds = _seconds("record", long, LEAST_EVERY_S, SECONDS_MOST)
        case _:
            raise _wrong("record")
    recorder.start(measured, readings, seconds)
    return "", None


# --- the orders
async def _power(hardware: Hardware, words: Words) -> str:
    match words:
        case []:
            known = await _has(hardware, Watched, "cannot tell its target's power").power()
            return "unknown\n" if known is None else "on\n" if known else "off\n"
        case ["on" | "off" as to]:
            await _switch(hardware).set_power(to == "on")
        case ["tick"]:
            await _switch(hardware).power_tick()
        case ["tick", text]:
            await _switch(hardware).power_tick(_seconds("power", text, 0.001, LONGEST_TICK_S))
        case _:
            raise _wrong("power")
    return ""


async def _mux(hardware: Hardware, words: Words) -> str:
    match words:
        case []:
            return f"{await _has(hardware, Watched, 'has no card mux').mux()}\n"
        case ["ts"]:
            await _switch(hardware).set_mux("ts")
        case ["dut"]:
            await _switch(hardware).set_mux("dut")
        case _:
            raise _wrong("mux")
    return ""


async def _current(hardware: Hardware, words: Words) -> str:
    if words:
        raise _wrong("current")
    return f"{await _has(hardware, Measured, 'measures no current').current()}\n"


async def _led(hardware: Hardware, words: Words) -> str:
    if len(words) != 4 or words[0] not in ("1", "2"):
        raise _wrong("led")
    red, green, blue = (_whole("led", word, 0, 255) for word in words[1:])
    showing = _has(hardware, Showing, "has no LEDs")
    await showing.set_led(1 if words[0] == "1" else 2, (red, green, blue))
    return ""


async def _text(hardware: Hardware, words: Words) -> str:
    await _has(hardware, Showing, "has no display").show(" ".join(words))
    return ""


async def _hdmi(hardware: Hardware, words: Words) -> str:
    if list(words) not in (["on"], ["off"]):
        raise _wrong("hdmi")
    await _has(hardware, Wired, "has no HDMI").set_hdmi(words[0] == "on")
    return ""


async def _dyper(hardware: Hardware, words: Words) -> str:
    if len(words) != 2 or words[0] not in ("1", "2") or words[1] not in ("on", "off"):
        raise _wrong("dyper")
    wired = _has(hardware, Wired, "has no dynamic jumpers")
    await wired.set_dyper(1 if words[0] == "1" else 2, words[1] == "on")
    return ""


async def _ready(hardware: Hardware, words: Words) -> str:
    if words:
        raise _wrong("ready")
    await hardware.ready()
    return ""


async def _maintenance(hardware: Hardware, words: Words) -> str:
    await hardware.maintenance(" ".join(words))
    return ""


_ORDERS: Final[Mapping[str, Order]] = {
    "power": _power,
    "mux": _mux,
    "current": _current,
    "led": _led,
    "text": _text,
    "hdmi": _hdmi,
    "dyper": _dyper,
    "ready": _ready,
    "maintenance": _maintenance,
}


def _switch(hardware: Hardware) -> Switchable:
    return _has(hardware, Switchable, "cannot switch its target")


def _has(hardware: Hardware, side: type[_Side], lack: str) -> _Side:
    if not isinstance(hardware, side):
        raise ActionRefused(f"this board {lack}")
    return hardware


def _wrong(name: str) -> BadRequest:
    return BadRequest(f"want: board {' '.join(USAGE[name].split('    ')[0].split())}")


def _seconds(name: str, text: str, least: float, most: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise _wrong(name) from None
    if not least <= seconds <= most:  # and no NaN
        raise BadRequest(f"board {name}: {text} seconds (allowed: {least:g} to {most:g})")
    return seconds


def _whole(name: str, text: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if not least <= number <= most:
        raise BadRequest(f"board {name}: {text!r} (allowed: {least} to {most})")
    return number

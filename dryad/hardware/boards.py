"""Which hardware a config names: those that are built in, and those that other packages bring.

A package brings one by an entry point of the group `boruta.boards`: a callable
`(argument: str, options: Mapping[str, object]) -> Hardware`, called on the running loop with what
stands behind the colon of `hardware = "NAME:ARGUMENT"`, and with the table [board].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from boruta.domain.errors import BadConfig, BorutaError
from dryad.hardware.port import BadOption, Hardware, NoHardware

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from dryad.hardware.stm import Side

GROUP: Final = "boruta.boards"
BUILT_IN: Final = ("none", "simulated", "stm", "command")

Options: TypeAlias = Mapping[str, object]
Factory: TypeAlias = Callable[[str, Options], Hardware]


def check_name(text: str) -> None:
    """Whether `text` names hardware: NAME or NAME:ARGUMENT.

    Raises:
        ValueError: it does not; the text says what is allowed.
    """
    name, colon, argument = text.partition(":")
    if name not in BUILT_IN and name not in _brought():
        allowed = ", ".join((*BUILT_IN, *sorted(_brought())))
        raise ValueError(f"{text!r} (allowed: {allowed}; stm:/dev/ttyS2 names its port)")
    if name == "stm":
        if colon and not argument.startswith("/"):
            raise ValueError(f"{text!r}: want stm:PORT with the whole path of a serial port")
    elif name in BUILT_IN and colon:
        raise ValueError(f"{text!r}: {name} takes nothing after a colon")


def check_options(text: str, options: Options) -> None:
    """Whether the hardware that `text` names takes these options; a foreign one is not asked.

    Raises:
        BadOption: it does not.
    """
    name = text.partition(":")[0]
    if name == "command":
        from dryad.hardware.command import read_options

        read_options(options)
    elif name == "stm":
        _card(options)
    elif name in BUILT_IN:
        for key in options:
            raise BadOption(key, f'hardware = "{name}" takes no options')


def make(text: str, options: Options, board: str = "board") -> Hardware:
    """The hardware that a config names; on a running loop.

    Args:
        text: NAME or NAME:ARGUMENT.
        options: the table [board].
        board: its name in the log.

    Raises:
        BadConfig: it cannot be had; the text says why.
    """
    name, _, argument = text.partition(":")
    try:
        check_name(text)
        check_options(text, options)
        if name == "none":
            return NoHardware()
        if name == "simulated":
            from dryad.hardware.simulated import SimulatedHardware

            return SimulatedHardware(board)
        if name == "stm":
            from dryad.hardware.muxpi import MuxPi
            from dryad.hardware.stm import PORT, Stm

            return MuxPi(Stm(argument or PORT), card=_card(options))
        if name == "command":
            from dryad.hardware.command import CommandBoard, read_options

            return CommandBoard(*read_options(options))
    except ValueError as error:
        raise BadConfig(f"hardware: {error}") from None
    try:
        factory = cast(Factory, _brought()[name].load())
        return factory(argument, options)
    except BorutaError:
        raise
    except Exception as error:  # a defect of another's package
        raise BadConfig(f"hardware: {text!r}: {type(error).__name__}: {error}") from error


def _brought() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {found.name: found for found in entry_points(group=GROUP)}


def _card(options: Options) -> Side:
    for key in options:
        if key != "card":
            raise BadOption(key, "unknown (allowed: card)")
    card = options.get("card", "ts")
    if card == "ts" or card == "dut":
        return card
    raise BadOption("card", f"{card!r} (allowed: ts, dut)")

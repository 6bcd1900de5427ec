"""The original's `stm` command over the board's socket: same flags, output and exit statuses.

Stands alone as `client` does. What it lacks: serving (-serve), and a remote of its own (-remote is
taken and not used, also where the original wants one).
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import socket
import sys

SOCKETS = "/run/dryad/*/board.sock"
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Failed(Exception):
    """The board did not do it."""


def main(argv: list[str] | None = None) -> int:
    """Carries out what the flags say, in the original's order; the exit status."""
    parser = _parser()
    args = parser.parse_args(_split(sys.argv[1:] if argv is None else argv))
    if args.ts and args.dut:
        return _fatal("conflicting flags: DUT and TS")
    if args.serve:
        return _fatal("this stm does not serve: the agent has the board")
    try:
        tick_s, record_s = _duration("m", args.m), _duration("cur-duration", args.cur_duration)
        readings = _whole("cur-size", args.cur_size)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2  # as flags that cannot be read
    try:
        if args.ts:
            _ask("power", "off")
            _ask("mux", "ts")
        if args.dut:
            _ask("mux", "dut")
            _ask("power", "on")
        if args.tick:
            _ask("power", "tick", f"{tick_s:g}")
        if args.cur:
            sys.stdout.write(_ask("current"))
        if args.cur_start and args.cur_stop:
            raise Failed("conflicting flags: cur-start and cur-stop")
        if args.cur_start:
            _ask("record", "start", readings, f"{record_s:g}")
        if args.cur_stop:
            _ask("record", "stop")
        if args.cur_get:
            sys.stdout.write(_ask("record", "get"))
        if args.clr:
            _ask("text")
        if args.print:
            _ask("text", *args.print.split())
        for number, colour in (("1", args.led1), ("2", args.led2)):
            if colour:
                _ask("led", number, *_colour(colour))
    except Failed as error:
        return _fatal(str(error))
    for words, value in (
        (("dyper", "1"), args.dyper1),
        (("dyper", "2"), args.dyper2),
        (("hdmi",), args.hdmi),
    ):
        if value in ("on", "off"):
            try:
                _ask(*words, value)
            except Failed:
                pass  # the original ignores errors of these three
        elif value:
            sys.stderr.write(f"wrong value for {''.join(words)}: {value}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("stm", allow_abbrev=False)
    for name in ("ts", "dut", "tick", "cur", "cur-start", "cur-stop", "cur-get", "clr", "serve"):
        parser.add_argument(f"-{name}", action="store_true", dest=name.replace("-", "_"))
    for name, usual in (("m", "1s"), ("cur-size", "120"), ("cur-duration", "1m")):
        parser.add_argument(f"-{name}", default=usual, dest=name.replace("-", "_"))
    for name in ("print", "led1", "led2", "dyper1", "dyper2", "hdmi", "remote"):
        parser.add_argument(f"-{name}", default="")
    for name in ("print-x", "print-y", "listen", "user-listen"):
        parser.add_argument(f"-{name}", default="")
    return parser


def _split(words: list[str]) -> list[str]:
    """Go's flags: one dash or two, a value behind '=' or in the next word, -flag=false."""
    found = []
    for word in words:
        word = re.sub(r"^--(?=[a-z])", "-", word)
        name, equals, value = word.partition("=")
        if equals and value in ("true", "false", "1", "0", "t", "f"):
            found += [name] if value in ("true", "1", "t") else []
        else:
            found += (
                [name, value] if equals and name.startswith("-") else [re.sub("^--", "-", word)]
            )
    return found


def _whole(flag: str, text: str) -> str:
    try:
        return str(int(text, 0))
    except ValueError:
        raise ValueError(f'invalid value "{text}" for flag -{flag}: want a number') from None


def _duration(flag: str, text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(a + b for a, b in parts) != text:
        raise ValueError(f'invalid value "{text}" for flag -{flag}: want a duration such as 1m30s')
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def _colour(text: str) -> list[str]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        raise Failed(f"wrong colour {text}: want r,g,b, each 0 to 255")
    return parts


def _ask(*words: str) -> str:
    path = os.environ.get("BOARD_SOCKET") or next(iter(sorted(glob.glob(SOCKETS))), "")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(json.dumps({"words": words}).encode() + b"\n")
            with connection.makefile() as answer:
                found = json.loads(answer.readline())
    except (OSError, ValueError) as error:
        raise Failed(f"failed to connect to the board: {error}") from None
    if "error" in found:
        sys.stdout.write(found.get("out", ""))
        raise Failed(found["error"])
    return str(found["out"])


def _fatal(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The `dryad` command. argparse alone, and nothing heavy before it is needed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from boruta.domain.errors import BadConfig, BorutaError
from boruta.streams import open_closed
from boruta.version import VERSION
from dryad import logs, place
from dryad.cli_setup import add_verbs
from dryad.config import (
    SESSIONS,
    AgentConfig,
    check_complete,
    check_trust,
    load,
)
from dryad.lean import allow_all
from dryad.tables import read_cap

_FLAGS: Final = (
    "server",
    "server_key",
    "key",
    "ssh_address",
    "sessions",
    "hardware",
    "data",
    "trust_holders",
    "insecure",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    open_closed()
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 2
    logs.set_up(args.log_level or args.level, args.log_format)
    try:
        return int(args.run(args))
    except BorutaError as error:
        print(f"dryad: {error}   [{error.code}]", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dryad", description="The agent of a board in a Boruta farm.")
    parser.add_argument("--version", action="version", version=f"dryad {VERSION}")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    run = _verb(verbs, "run", _run, "info", "run the agent of this board")
    run.add_argument("--config", type=Path, metavar="FILE", help=f"default {place.CONFIG}")
    run.add_argument("--server", metavar="ADDR", help="HOST:PORT; several with commas")
    run.add_argument("--server-key", metavar="KEY", help="40 Z85 characters, or a key file")
    run.add_argument("--key", metavar="FILE", help="this agent's NAME.key_secret")
    run.add_argument("--ssh-address", metavar="ADDR", help="where sessions listen, e.g. :7022")
    run.add_argument("--sessions", choices=SESSIONS)
    run.add_argument("--hardware", metavar="NAME", help="none, simulated, stm:PORT, command")
    run.add_argument("--data", type=Path, metavar="DIR", help="uuid, host key and lease")
    run.add_argument(
        "--trust-holders",
        action="store_true",
        default=None,
        help="holders may do whatever this agent's user may",
    )
    run.add_argument(
        "--insecure", action="store_true", default=None, help="the server runs with --insecure"
    )
    _add_caps(run)

    simulate = _verb(
        verbs, "simulate", _simulate, "warning", "run agents with simulated boards, here"
    )
    simulate.add_argument("-n", type=_count, default=1, metavar="N", help="how many (1)")
    simulate.add_argument("--data", type=Path, metavar="DIR", help="the server's data directory")
    _add_caps(simulate)
    simulate.add_argument(
        "--group", "-g", action="append", default=[], metavar="GROUP", help="group of the workers"
    )
    simulate.add_argument(
        "--stm", action="store_true", help="each with the STM of a MuxPi, on a pseudo terminal"
    )
    simulate.add_argument("--ssh-host", default="127.0.0.1", metavar="HOST")
    simulate.add_argument(
        "--exit-with-stdin", action="store_true", help="end when standard input does"
    )
    add_verbs(_verb, verbs)
    return parser


def _verb(verbs: Any, name: str, run: Any, level: str, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.add_argument("--log-level", choices=logs.LEVELS, help=f"({level})")
    verb.add_argument("--log-format", choices=("text", "json"), default="text")
    verb.set_defaults(run=run, level=level)
    return verb


def _add_caps(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-c",
        "--cap",
        action="append",
        default=[],
        type=_cap,
        metavar="KEY=VALUE",
        dest="caps",
        help="a capability; repeat it for more",
    )


def _cap(word: str) -> tuple[str, str]:
    try:
        return read_cap(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(word: str) -> int:
    number = int(word) if word.isascii() and word.isdecimal() else 0
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{word!r}: want a number from 1 to 10000")
    return number


def _caps(args: argparse.Namespace) -> dict[str, str]:
    caps: dict[str, str] = {}
    for key, value in args.caps:
        if key in caps:
            raise BadConfig(f"-c {key}={value}: {key} stands there twice")
        caps[key] = value
    return caps


# --- verbs
def _run(args: argparse.Namespace) -> int:
    flags = {name: getattr(args, name) for name in _FLAGS}
    config = load(args.config, os.environ, {**flags, "caps": _caps(args) or None})
    check_complete(config)
    check_trust(config, os.environ)
    if config.sessions != "system":
        allow_all()
    asyncio.run(_run_agent(config))
    return 0


async def _run_agent(config: AgentConfig) -> None:
    from dryad.running import run_agent

    stop = _stop_by_signal()
    await run_agent(config, stop)


def _simulate(args: argparse.Namespace) -> int:
    from dryad.simulate import Order

    caps = _caps(args)
    if args.n > 1 and "UUID" in caps:
        raise BadConfig("-c UUID=...: one UUID is for one board; leave it out or use -n 1")
    data = (args.data or place.server_data(os.environ)).expanduser().absolute()
    order = Order(args.n, data, caps, tuple(args.group), args.ssh_host, args.stm)
    allow_all()
    asyncio.run(_run_simulation(order, args.exit_with_stdin))
    return 0


async def _run_simulation(order: Any, exit_with_stdin: bool) -> None:
    from dryad.simulate import simulate

    _raise_files()
    stop = _stop_by_signal()
    if exit_with_stdin:
        _stop_with_stdin(stop)
    await simulate(order, stop, lambda line: print(line, flush=True))


def _stop_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _stop_with_stdin(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Not by add_reader: a file or /dev/null as standard input cannot be polled.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, name="dryad-stdin", daemon=True).start()


def _raise_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            logging.getLogger("dryad").debug("files_allowed limit=%d", hard)

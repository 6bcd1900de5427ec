"""Verbs that set an agent up and look at it: check, status, init, enroll, install, uninstall."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from dryad import place
from dryad.config import load

NOT_RUNNING: Final = 3  # as systemctl status says it


def add_verbs(verb: Any, verbs: Any) -> None:
    """Adds the verbs to a parser; `verb` makes one."""
    check = verb(verbs, "check", _check, "error", "look whether an agent can run here")
    _add_config(check)
    _add_output(check)
    status = verb(verbs, "status", _status, "error", "tell how the agent of this board is")
    _add_config(status)
    _add_output(status)
    init = verb(verbs, "init", _init, "error", "write a configuration")
    init.add_argument("--config", type=Path, default=place.CONFIG, metavar="FILE")
    init.add_argument("--from", dest="old", type=Path, metavar="FILE", help="the original's one")
    init.add_argument("--detect", action="store_true", help="find capabilities from the hardware")
    init.add_argument("--force", action="store_true", help="replace a configuration")
    enroll = verb(
        verbs, "enroll", _enroll, "error", "make this board's key, for the server of an invitation"
    )
    enroll.add_argument("token", metavar="TOKEN", help="on the server: boruta key invite NAME")
    enroll.add_argument("--config", type=Path, default=place.CONFIG, metavar="FILE")
    enroll.add_argument("--force", action="store_true", help="replace another server")
    install = verb(verbs, "install", _install, "error", "run the agent as a service (root)")
    install.add_argument("--config", type=Path, default=place.CONFIG, metavar="FILE")
    install.add_argument(
        "--stm-compat", action="store_true", help="also /usr/local/bin/stm, as the original's"
    )
    uninstall = verb(
        verbs, "uninstall", _uninstall, "error", "undo install; the holders' account goes too"
    )
    uninstall.add_argument(
        "--config", type=Path, metavar="FILE", help="if it is not the one that the service has"
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default {place.CONFIG}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the agent's data directory")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def _check(args: argparse.Namespace) -> int:
    from dryad.preflight import look_at

    found = look_at(args.config, os.environ, {"data": args.data})
    if args.output == "json":
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            hint = f" -> {one.hint}" if one.hint else ""
            print(f"{one.state:4}  {one.name:12} {one.detail}{hint}")
    return 1 if any(one.state == "FAIL" for one in found) else 0


def _status(args: argparse.Namespace) -> int:
    from dryad.standing import read

    found = read(load(args.config, os.environ, {"data": args.data}))
    if args.output == "json":
        print(json.dumps(found, indent=2))
    else:
        for key, value in found.items():
            said = "-" if value is None else str(value)
            said = "".join(sign if sign.isprintable() else "?" for sign in said)  # a server's words
            print(f"{key.replace('_', ' '):12} {said}")
    return 0 if found["running"] else NOT_RUNNING


def _init(args: argparse.Namespace) -> int:
    from dryad.initial import write

    for line in write(args.config, args.old, detect=args.detect, force=args.force):
        print(line, file=sys.stderr)
    return 0


def _enroll(args: argparse.Namespace) -> int:
    from dryad.enrolment import enroll

    done = enroll(args.token, args.config.absolute(), force=args.force)
    print(f"{done.told}; to admit this board, on the server:", file=sys.stderr)
    print(done.admit)
    return 0


def _install(args: argparse.Namespace) -> int:
    from dryad.service import install

    for line in install(args.config, stm_compat=args.stm_compat):
        print(line, flush=True)
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    from dryad.service import uninstall

    for line in uninstall(args.config):
        print(line, flush=True)
    return 0

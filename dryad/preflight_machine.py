"""The machine under an agent: its board's ports and programs, disk, memory, date."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dryad.clock import utc_now, wall_clock_error
from dryad.config import AgentConfig
from dryad.findings import Finding, judged, nearest
from dryad.hardware import boards
from dryad.health import CLOCK_MOST, DISK_LEAST, MEMORY_LEAST, available_memory

PROC: Final = Path("/proc")
WRITTEN: Final = 2026  # no machine that runs this has a right date before this year


def look(config: AgentConfig, running: Mapping[str, object] | None) -> Iterator[Finding]:
    """All of it.

    Args:
        config: the agent's.
        running: what the agent that has the board says of itself; None: there is none.
    """
    yield from _hardware(config, running)
    yield from _programs(config)
    yield disk(config.data)
    yield memory()
    yield clock()


def _hardware(config: AgentConfig, running: Mapping[str, object] | None) -> Iterator[Finding]:
    try:
        boards.check_name(config.hardware)
        boards.check_options(config.hardware, config.board)
        yield Finding("hardware", "ok", config.hardware)
    except ValueError as error:
        yield Finding("hardware", "FAIL", str(error), "docs/hardware.md has what is allowed")
        return
    if config.hardware.partition(":")[0] == "stm":
        from dryad.hardware.stm import PORT

        yield serial("stm", config.hardware.partition(":")[2] or PORT, running)
    if config.console is not None:
        yield serial("console", config.console[0], running)


def serial(
    name: str, path: str, running: Mapping[str, object] | None, proc: Path = PROC
) -> Finding:
    """Whether a serial port can be had. It is not opened: that alone would reset some boards."""
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            return Finding(name, "FAIL", f"{path}: no serial port", "dmesg | grep tty tells them")
    except OSError as error:
        return Finding(name, "FAIL", f"{path}: {error.strerror}", "dmesg | grep tty tells them")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(name, "FAIL", f"{path}: not for this user", "adduser USER dialout")
    if importlib.util.find_spec("serial") is None:
        return Finding(name, "FAIL", "pyserial is not installed", "apt install python3-serial")
    users = users_of(path, proc)
    others = sorted(users - {(running or {}).get("pid")})
    if not others:
        return Finding(name, "ok", f"{path}, in use by the agent" if users else path)
    detail = f"{path}: in use by {', '.join(f'process {one}' for one in others)}"
    if running is not None and "pid" not in running:  # it may be the agent's own
        return Finding(name, "warn", detail, "look again once the agent answers")
    return Finding(name, "FAIL", detail, f"end it: fuser -v {path}")


def users_of(path: str, proc: Path = PROC) -> set[int]:
    """The processes that have a device open, as far as this user may see them."""
    real = os.path.realpath(path)
    found = set()
    for entry in proc.glob("[0-9]*"):
        try:
            if any(os.readlink(entry / "fd" / one) == real for one in os.listdir(entry / "fd")):
                found.add(int(entry.name))
        except OSError:  # it ended, or is another user's
            continue
    return found


def _programs(config: AgentConfig) -> Iterator[Finding]:
    """Whether the owner's programs are there; none of them is run."""
    wanted = {f"[checks] {name}": words for name, words in config.checks.items()}
    if config.hardware == "command":
        from dryad.hardware.command import read_options

        commands, _ = read_options(config.board)
        wanted.update({f"[board] {name}": words for name, words in commands.items()})
    for name, words in wanted.items():
        if words[:2] == ("/bin/sh", "-c"):
            words = tuple(words[2].split()[:1])
            if not words or not words[0].startswith("/"):
                continue  # a line of the shell may begin with anything
        path = shutil.which(words[0])
        hint = "install it, or write its whole path; it must be executable"
        yield judged(name, path is not None, path or f"{words[0]}: there is no such program", hint)


def disk(data: Path) -> Finding:
    """Whether there is room for a home and the lease."""
    there = nearest(data)
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    hint = f"free {DISK_LEAST >> 20} MiB"
    return judged("disk", free >= DISK_LEAST, f"{free >> 20} MiB free in {there}", hint)


def memory(meminfo: Path = PROC / "meminfo") -> Finding:
    """Whether there is room for a first session; what is only cached is free."""
    free = available_memory(meminfo)
    if free is None:
        return Finding("memory", "warn", "unknown", f"{meminfo} should tell it")
    hint = f"the agent needs {MEMORY_LEAST >> 20} MiB: stop what is not needed"
    return judged("memory", free >= MEMORY_LEAST, f"{free >> 20} MiB available", hint, "warn")


def clock() -> Finding:
    """Whether the date is right. Jobs are timed by another clock, so a wrong one only warns."""
    now, error_s = utc_now(), wall_clock_error()
    hint = "timedatectl set-ntp true, or chrony; the log has wrong times until then"
    if now.year < WRITTEN:
        return Finding("clock", "warn", f"{now:%Y-%m-%d}: long ago", hint)
    if error_s is None:
        return Finding("clock", "warn", f"{now:%Y-%m-%d %H:%M} UTC, not synchronised", hint)
    return judged("clock", abs(error_s) <= CLOCK_MOST, f"{error_s * 1000:+.0f} ms", hint, "warn")

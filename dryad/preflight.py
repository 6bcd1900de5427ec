"""`dryad check`: everything that must hold before an agent can run here. It changes nothing."""

from __future__ import annotations

import errno
import fcntl
import grp
import importlib.util
import os
import pwd
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from boruta.domain.errors import BorutaError
from dryad import place
from dryad.clock import wall_clock_error
from dryad.config import AgentConfig, check_complete, check_trust
from dryad.hardware import boards
from dryad.health import DISK_LEAST, MEMORY_LEAST
from dryad.keys import load_pair, read_server_key
from dryad.sessions import sshd
from dryad.sessions.account import COMMENT, TOOLS
from dryad.sessions.cgroup import MOUNTS, OWN, mount_of

REACH_WITHIN_S: Final = 2.0
_PACKAGES: Final = {
    "useradd": "passwd", "usermod": "passwd", "userdel": "passwd",
    "ssh-keygen": "openssh-client", "prlimit": "util-linux", "setpriv": "util-linux",
}  # fmt: skip

State = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One precondition.

    Attributes:
        name: what was looked at.
        state: whether it holds; a warning does not keep an agent from running.
        detail: what was found.
        hint: what to do about it; empty if nothing.
    """

    name: str
    state: State
    detail: str
    hint: str = ""


def look(config: AgentConfig, environ: Mapping[str, str]) -> list[Finding]:
    """All preconditions, in the order in which an agent meets them; blocks for some seconds."""
    running = is_running(config.data)
    found = [
        *_config(config),
        *_servers(config),
        _data(config.data),
        Finding("agent", "ok", "runs" if running else "does not run"),
    ]
    found += _system(config) if config.sessions == "system" else _embedded(config, environ)
    found += [_port(config.ssh_address, running), *_hardware(config, running)]
    return [*found, _disk(config.data), _memory(), _clock()]


def is_running(data: Path) -> bool:
    """Whether an agent has this data directory."""
    try:
        fd = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)


def _ask(name: str, question: Callable[[], str], hint: str = "") -> Finding:
    try:
        return Finding(name, "ok", question())
    except BorutaError as error:
        return Finding(name, "FAIL", error.message, hint)


# --- config, keys, server
def _config(config: AgentConfig) -> Iterator[Finding]:
    def complete() -> str:
        check_complete(config)
        return f"{len(config.caps)} capabilities, sessions = {config.sessions}"

    yield _ask("config", complete)
    if config.insecure:
        yield Finding("keys", "warn", "none: insecure = true", "only for a lab of one's own")
        return
    if config.server_key:
        yield _ask(
            "server key", lambda: read_server_key(config.server_key),
            "copy DATA/keys/server.key of the server, or its 40 characters",
        )  # fmt: skip
    if config.key:
        yield _ask(
            "own key", lambda: load_pair(Path(config.key)).public,
            "on the server: boruta key new NAME --role worker; here: chmod 600",
        )  # fmt: skip


def _servers(config: AgentConfig) -> Iterator[Finding]:
    for url in config.server:
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), REACH_WITHIN_S):
                yield Finding("server", "ok", f"{url} takes connections")
        except OSError as error:
            yield Finding(
                "server", "FAIL", f"{url}: {error.strerror or error}",
                "is it running, is the port open: boruta server --bind ADDR",
            )  # fmt: skip


def _data(data: Path) -> Finding:
    try:
        place.check_private(data, "agent's data directory")
        return Finding("data", "ok", str(data))
    except FileNotFoundError:
        parent = next(one for one in data.parents if one.exists())
        if os.access(parent, os.W_OK):
            return Finding("data", "ok", f"{data} will be made")
        return Finding("data", "FAIL", f"{data} cannot be made in {parent}", "another data = ")
    except (OSError, BorutaError) as error:
        return Finding("data", "FAIL", str(error))


# --- sessions
def _system(config: AgentConfig) -> Iterator[Finding]:
    root = os.geteuid() == 0
    yield Finding(
        "root", "ok" if root else "FAIL", f"uid {os.geteuid()}",
        "" if root else 'run it as root, or with sessions = "embedded"',
    )  # fmt: skip
    yield _ask("sshd", sshd.find, "apt install openssh-server")
    for tool, package in _PACKAGES.items():
        path = shutil.which(tool, path=TOOLS)
        hint = "" if path else f"apt install {package}"
        yield Finding(tool, "ok" if path else "FAIL", path or f"not in {TOOLS}", hint)
    yield _account(config.username)
    for group in config.groups:
        yield _group(group)
    yield _cgroup()


def _account(name: str) -> Finding:
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        return Finding("account", "ok", f"{name} will be made")
    if known.pw_gecos != COMMENT or known.pw_uid == 0:
        return Finding(
            "account", "FAIL", f"{name} is somebody's; its home would be emptied",
            f"[user] name = another one, or: usermod -c '{COMMENT}' {name}",
        )  # fmt: skip
    return Finding("account", "ok", f"{name}, uid {known.pw_uid}")


def _group(name: str) -> Finding:
    try:
        grp.getgrnam(name)
    except KeyError:
        return Finding("group", "FAIL", f"there is no {name}", f"groupadd --system {name}")
    if name in ("disk", "sudo", "docker", "root", "adm", "shadow"):
        return Finding(
            "group", "warn", f"{name}: its members can be root on this board",
            "give them single devices, by udev rules and a group of their own",
        )  # fmt: skip
    return Finding("group", "ok", name)


def _cgroup() -> Finding:
    mount = mount_of(MOUNTS)
    mine = next((x[3:] for x in OWN.read_text().splitlines() if x.startswith("0::")), None)
    if mount is None or mine is None:
        return Finding("cgroup", "warn", "no cgroup v2: sessions end by uid alone", _UNIFIED)
    here = mount / mine.lstrip("/")
    if mine != "/" and not (here / "cgroup.kill").exists():
        return Finding("cgroup", "warn", "no cgroup.kill: sessions end by uid alone", "Linux 5.14")
    offered = (here / "cgroup.controllers").read_text().split()
    if {"memory", "pids"} <= set(offered):
        return Finding("cgroup", "ok", f"{here}, with memory and pids")
    return Finding("cgroup", "warn", f"{here}: memory is not limited", _UNIFIED)


_UNIFIED: Final = "cgroup v2 alone, with memory: systemd.unified_cgroup_hierarchy=1"


def _embedded(config: AgentConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    def trusted() -> str:
        check_trust(config, environ)
        return f"holders run as uid {os.geteuid()}"

    there = importlib.util.find_spec("asyncssh") is not None
    yield Finding(
        "asyncssh", "ok" if there else "FAIL", "installed" if there else "not installed",
        "" if there else "pip install asyncssh",
    )  # fmt: skip
    yield _ask("trust", trusted)


def _port(address: str, running: bool) -> Finding:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host or not host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            return Finding("ssh_address", "ok", f"{address} is free")
        except OSError as error:
            if running and error.errno == errno.EADDRINUSE:
                return Finding("ssh_address", "ok", f"{address} is in use, by the agent itself")
            return Finding(
                "ssh_address", "FAIL", f"{address}: {error.strerror}",
                "another ssh_address; ss -ltnp says who has it",
            )  # fmt: skip


# --- the machine
def _hardware(config: AgentConfig, running: bool) -> Iterator[Finding]:
    try:
        boards.check_name(config.hardware)
        boards.check_options(config.hardware, config.board)
        yield Finding("hardware", "ok", config.hardware)
    except ValueError as error:
        yield Finding("hardware", "FAIL", str(error), "see hardware.md")
    if config.hardware.partition(":")[0] == "stm":
        from dryad.hardware.stm import PORT

        yield _serial("stm", config.hardware.partition(":")[2] or PORT, running)
    if config.console is not None:
        yield _serial("console", config.console[0], running)


def _serial(name: str, path: str, running: bool) -> Finding:
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            return Finding(name, "FAIL", f"{path}: no serial port")
    except OSError as error:
        return Finding(name, "FAIL", f"{path}: {error.strerror}", "see dmesg | grep tty")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(name, "FAIL", f"{path}: not for this user", "adduser USER dialout")
    if running:
        return Finding(name, "ok", f"{path}, in use by the agent")
    if importlib.util.find_spec("serial") is None:
        return Finding(name, "FAIL", "pyserial is not installed", "apt install python3-serial")
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Finding(name, "ok", path)
    except OSError:
        return Finding(name, "FAIL", f"{path}: another process uses it", f"fuser -v {path}")
    finally:
        os.close(fd)


def _disk(data: Path) -> Finding:
    there = next(one for one in (data, *data.parents) if one.exists())
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    enough = free >= DISK_LEAST
    return Finding(
        "disk", "ok" if enough else "FAIL", f"{free >> 20} MiB free in {there}",
        "" if enough else f"free {DISK_LEAST >> 20} MiB",
    )  # fmt: skip


def _memory() -> Finding:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Finding("memory", "ok" if free >= MEMORY_LEAST else "warn", f"{free >> 20} MiB free")


def _clock() -> Finding:
    error = wall_clock_error()
    if error is None:
        return Finding("clock", "warn", "not synchronised", "timedatectl set-ntp true")
    return Finding("clock", "ok", f"{error * 1000:+.0f} ms")

"""What letting holders in needs: an account, OpenSSH and control groups, or asyncssh and trust."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from dryad.config import AgentConfig, check_trust
from dryad.findings import Finding, ask, judged
from dryad.sessions import library, sshd
from dryad.sessions.account import COMMENT, TOOLS
from dryad.sessions.cgroup import MOUNTS, OWN, mount_of, own_of

_PACKAGES: Final = {
    "useradd": "passwd", "usermod": "passwd", "userdel": "passwd",
    "ssh-keygen": "openssh-client", "prlimit": "util-linux", "setpriv": "util-linux",
}  # fmt: skip
_ROOTS: Final = ("disk", "sudo", "docker", "root", "adm", "shadow")
_MEMORY: Final = (
    "on the kernel's command line: cgroup_enable=memory (Raspberry Pi), or "
    "systemd.unified_cgroup_hierarchy=1 (cgroup v1)"
)


def system(config: AgentConfig) -> Iterator[Finding]:
    """Sessions by an account and OpenSSH."""
    hint = 'run it as root, or with sessions = "embedded"'
    yield judged("root", os.geteuid() == 0, f"uid {os.geteuid()}", hint)
    yield ask("sshd", sshd.find, "apt install openssh-server")
    for tool, package in _PACKAGES.items():
        path = shutil.which(tool, path=TOOLS)
        yield judged(tool, bool(path), path or f"not in {TOOLS}", f"apt install {package}")
    yield _account(config.username)
    for group in config.groups:
        yield _group(group)
    yield control_groups()


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
    if name in _ROOTS:
        return Finding(
            "group", "warn", f"{name}: its members can be root on this board",
            "give them single devices, by udev rules and a group of their own",
        )  # fmt: skip
    return Finding("group", "ok", name)


def control_groups(mounts: Path = MOUNTS, own: Path = OWN) -> Finding:
    """Whether each holder can have a control group, and whether it can limit him.

    What this process's own group offers says little: a service has another one.
    """
    try:
        mount = mount_of(mounts)
        mine = own_of(own)
        if mount is None or mine is None:
            return Finding("cgroup", "warn", "no cgroup v2: sessions end by uid alone", _MEMORY)
        offered = set((mount / "cgroup.controllers").read_text().split())
        # The top has no such file; all below it do, where the kernel knows it.
        below = next((one for one in (mount / mine.lstrip("/"), *mount.iterdir())
                      if one != mount and (one / "cgroup.procs").exists()), None)  # fmt: skip
    except OSError as error:
        return Finding("cgroup", "warn", f"cannot be read: {error}", _MEMORY)
    if below is not None and not (below / "cgroup.kill").exists():
        hint = "a kernel from Linux 5.14 on"
        return Finding("cgroup", "warn", "no cgroup.kill: sessions end by uid alone", hint)
    missing = {"memory", "pids"} - offered
    detail = f"{mount}, without {' and '.join(sorted(missing))}: holders are not limited by it"
    return judged(
        "cgroup", not missing, detail if missing else f"{mount}, with limits", _MEMORY, "warn"
    )


def embedded(config: AgentConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Sessions of the agent's own."""

    def trusted() -> str:
        check_trust(config, environ)
        return f"holders run as uid {os.geteuid()}"

    def loaded() -> str:
        version = library.check()
        import asyncssh  # noqa: F401

        return version

    hint = "pip install asyncssh; or, as root, the system's sessions"
    try:
        yield ask("asyncssh", loaded, hint)
    except Exception as error:  # half an installation fails in many ways
        yield Finding("asyncssh", "FAIL", f"{type(error).__name__}: {error}", hint)
    yield ask("trust", trusted, 'a user of the agent\'s own, or sessions = "system"')

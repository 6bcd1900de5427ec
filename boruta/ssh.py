"""OpenSSH for one job: its command lines and files, and what may stand in them (SAFETY, C3, C4).

A user name, a host and host keys come from the server and from boards; they end up in an argv and
in files of the user's machine, so nothing that looks like an option or a line break gets there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boruta.domain.errors import InfraError
from boruta.domain.types import AccessInfo

_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,253})|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9]+)?")
_HOST_KEY: Final = re.compile(
    r"(ssh-[a-z0-9-]+|ecdsa-sha2-nistp[0-9]+) [A-Za-z0-9+/]{16,4096}={0,2}"
)
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

OPTIONS: Final = (
    "ForwardAgent=no",
    "ForwardX11=no",
    "ForwardX11Trusted=no",
    "PermitLocalCommand=no",
    "StrictHostKeyChecking=yes",
    "CheckHostIP=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "BatchMode=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "ProxyCommand=none",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ConnectTimeout=10",
    "LogLevel=ERROR",
)


def checked(access: AccessInfo) -> AccessInfo:
    """The same, if nothing in it can be taken for an option or reach another line (C3).

    Raises:
        InfraError: a server or a board sends what it must not; the text says what.
    """
    if not _USER.fullmatch(access.username):
        raise InfraError(f"the board names {clean(access.username)!r} as its user: refused")
    if not HOST.fullmatch(access.host):
        raise InfraError(f"the server names {clean(access.host)!r} as the board's host: refused")
    if not 0 < access.port < 65536:
        raise InfraError(f"the server names {access.port} as the board's port: refused")
    if not access.host_keys:
        raise InfraError(
            "the board has no host key, so nobody could tell it from another one: refused"
        )
    for line in access.host_keys:
        if not _HOST_KEY.fullmatch(line):
            raise InfraError(f"the board's host key {clean(line)[:60]!r} is no key: refused")
    if "PRIVATE KEY" not in access.key or "\0" in access.key:
        raise InfraError("the server sent no private key for the job: refused")
    return access


def clean(text: str) -> str:
    """The text for a terminal: control characters, and what turns the direction, replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def known_hosts_lines(access: AccessInfo) -> str:
    """What a known_hosts file for this job alone contains."""
    checked(access)
    host = f"[{access.host}]:{access.port}"
    return "".join(f"{host} {line}\n" for line in access.host_keys)


@dataclass(frozen=True, slots=True)
class SshFiles:
    """The files that OpenSSH needs for one job, in a directory of their own."""

    access: AccessInfo
    directory: Path

    @property
    def key(self) -> Path:
        """The job's private key, mode 0600."""
        return self.directory / "key"

    @property
    def known_hosts(self) -> Path:
        """The board's host keys."""
        return self.directory / "known_hosts"

    def options(self) -> list[str]:
        """Options that ssh, scp and sftp all take, without the port."""
        words = ["-F", "none"]
        for option in OPTIONS:
            words += ["-o", option]
        words += ["-o", f"UserKnownHostsFile={_quoted(self.known_hosts)}"]
        return [*words, "-o", f"IdentityFile={_quoted(self.key)}"]

    def ssh(self, *words: str, options: Sequence[str] = (), program: str = "ssh") -> list[str]:
        """The command line of ssh.

        Args:
            words: the command on the board, one shell line or several words of it; none: a shell.
            options: options of yours, e.g. ``-t`` or ``-L``.
            program: the client to be run.
        """
        target = ["-p", str(self.access.port), "-l", self.access.username]
        return [program, *self.options(), *options, *target, "--", self.access.host, *words]

    def scp(self, *words: str, program: str = "scp") -> list[str]:
        """The command line of scp; `remote` makes the words that lie on the board."""
        return [program, *self.options(), "-P", str(self.access.port), "--", *words]

    def remote(self, path: str) -> str:
        """A path on the board, as scp and rsync take it."""
        host = f"[{self.access.host}]" if ":" in self.access.host else self.access.host
        return f"{self.access.username}@{host}:{path}"


def write_files(access: AccessInfo, directory: Path) -> SshFiles:
    """Writes key and known_hosts into an existing directory.

    Raises:
        InfraError: `access` holds what it must not.
        OSError: they cannot be written.
    """
    files = SshFiles(checked(access), directory)
    text = access.key if access.key.endswith("\n") else access.key + "\n"
    _write(files.key, text)
    _write(files.known_hosts, known_hosts_lines(access))
    return files


@contextlib.contextmanager
def ssh_files(access: AccessInfo) -> Iterator[SshFiles]:
    """The files in a temporary directory (mode 0700), removed at the end."""
    checked(access)
    directory = Path(tempfile.mkdtemp(prefix="boruta-ssh-"))
    try:
        yield write_files(access, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def ssh_config_lines(access: AccessInfo, alias: str, files: SshFiles) -> str:
    """A ``Host`` block for plain OpenSSH, scp, rsync and Ansible.

    Args:
        access: how to reach the board.
        alias: the name under which ssh then knows it.
        files: where key and known_hosts lie.

    Raises:
        ValueError: an alias that ssh would take for a pattern or an option.
    """
    if not _ALIAS.fullmatch(alias):
        raise ValueError(f"{alias!r}: an alias has letters, digits, '.', '_' and '-' alone")
    checked(access)
    lines = [f"Host {alias}", f"    HostName {access.host}", f"    Port {access.port}"]
    lines += [f"    User {access.username}", f"    IdentityFile {_quoted(files.key)}"]
    lines.append(f"    UserKnownHostsFile {_quoted(files.known_hosts)}")
    lines += ["    " + option.replace("=", " ", 1) for option in OPTIONS]
    return "\n".join(lines) + "\n"


def find_openssh(program: str = "ssh") -> str | None:
    """The path of an OpenSSH program, if there is one."""
    return shutil.which(program)


def _quoted(path: Path) -> str:
    # In a value ssh reads % as its own sign and splits at blanks.
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text


def _write(path: Path, text: str) -> None:
    # O_EXCL: never through a link that somebody else put there.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)

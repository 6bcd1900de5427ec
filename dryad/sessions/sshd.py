"""OpenSSH's server as an agent uses it: `sshd -i` for one connection, by a config of its own.

The host's own server and its files are never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig, InfraError
from dryad.sessions.listening import KEEPALIVE_S, LOGIN_WITHIN_S

PLACES: Final = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin"
SEPARATION: Final = Path("/run/sshd")  # where Debian's server goes when it gives up its rights
SESSIONS: Final = 128  # channels of one connection
# Of one holder; what he may do with them is in docs/sessions.md.
_SCRIPT: Final = 'echo 500 >/proc/self/oom_score_adj; [ -z "$0" ] || echo 0 >"$0" || exit 1; '


def find() -> str:
    """The path of sshd.

    Raises:
        BadConfig: there is none on this machine.
    """
    path = shutil.which("sshd", path=PLACES)
    if path is None:
        raise BadConfig(
            'sessions = "system" needs OpenSSH\'s server, and there is none on this machine '
            "(on Debian: apt install openssh-server)"
        )
    return path


def make_separation() -> None:
    """Makes the directory that sshd wants to see and that only its service makes otherwise."""
    SEPARATION.mkdir(mode=0o755, parents=True, exist_ok=True)


def config(*, host_key: Path, authorized_keys: Path, username: str, env: Mapping[str, str]) -> str:
    """The text of a config: one user, one key, nothing by password.

    Args:
        host_key: the agent's.
        authorized_keys: the key that is let in; root's own file, below no directory of others.
        username: who may log in.
        env: more environment of his programs.
    """
    lines = {
        "HostKey": host_key,
        "AuthorizedKeysFile": authorized_keys,
        "AllowUsers": username,
        "AuthenticationMethods": "publickey",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        # PAM would move his programs into a group of systemd's, out of the job's.
        "UsePAM": "no",
        "PermitUserEnvironment": "no",
        "PermitUserRC": "no",
        # As with embedded sessions: to where a program of his could connect as well.
        "AllowTcpForwarding": "local",
        "AllowStreamLocalForwarding": "no",
        "AllowAgentForwarding": "no",
        "PermitTunnel": "no",
        "X11Forwarding": "no",
        "AcceptEnv": "*",
        "Subsystem": "sftp internal-sftp",
        "LoginGraceTime": f"{LOGIN_WITHIN_S:g}",
        "ClientAliveInterval": f"{KEEPALIVE_S:g}",
        "ClientAliveCountMax": 3,
        "MaxSessions": SESSIONS,
        "UseDNS": "no",
        "PrintMotd": "no",
        "PrintLastLog": "no",
        "PidFile": "none",
        "LogLevel": "INFO",
    }
    text = "".join(f"{key} {value}\n" for key, value in lines.items())
    words = " ".join(_quoted(f"{key}={value}") for key, value in env.items())
    return f"{text}SetEnv {words}\n" if words else text


def command(
    sshd: str, config_file: Path, entrance: Path | None, limits: Mapping[str, int]
) -> Sequence[str]:
    """What serves one connection, which is its standard input and output.

    Args:
        sshd: its path.
        config_file: see `config`.
        entrance: who writes 0 there is in the holder's control group.
        limits: of each of his programs, as options of prlimit(1): nproc counts all together.
    """
    words = [sshd, "-i", "-e", "-f", str(config_file)]
    if limits and (prlimit := shutil.which("prlimit", path=PLACES)) is not None:
        words = [prlimit, *(f"--{name}={value}" for name, value in limits.items()), *words]
    # It enters the group before there is a program of the holder's, so that none is outside.
    return ["/bin/sh", "-c", _SCRIPT + 'exec "$@"', str(entrance or ""), *words]


def make_host_key(path: Path) -> None:
    """Makes an ed25519 key, by OpenSSH's own tool; blocks.

    Raises:
        InfraError: it cannot be made.
    """
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(temporary)]
    try:
        subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InfraError(f"{path}: the host key cannot be made: {error}") from error
    temporary.with_name(temporary.name + ".pub").unlink(missing_ok=True)
    with open(temporary, "rb") as file:
        os.fsync(
            file.fileno()
        )  # whole or not at all: a torn key would keep the agent from starting
    temporary.rename(path)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

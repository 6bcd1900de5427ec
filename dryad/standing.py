"""`dryad status`: how a running agent is, asked of itself over its board's socket."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.errors import NotPermitted, Unreachable
from dryad.board.service import socket_path

if TYPE_CHECKING:
    from dryad.config import AgentConfig

WITHIN_S: Final = 5.0
_MOST: Final = 1 << 16  # characters of an answer
LOCKS: Final = Path("/proc/locks")


def is_running(data: Path, locks: Path = LOCKS) -> bool:
    """Whether an agent has this data directory.

    Raises:
        NotPermitted: this user may not know.
    """
    try:
        fd = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise NotPermitted(f"{data}: only its agent's user and root may look into it") from None
    except OSError:
        return False
    try:
        # Trying the lock takes it for a moment, in which an agent that starts would not get it: so
        # it is only tried where the kernel names a lock on a file of this number.
        if not _is_named(os.fstat(fd).st_ino, locks):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)


def _is_named(inode: int, locks: Path) -> bool:
    try:
        lines = locks.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return True
    # `1: FLOCK  ADVISORY  WRITE 708 08:01:4711 0 EOF`; some file systems have another device there.
    words = [line.split() for line in lines]
    return any(len(one) > 5 and one[5].rpartition(":")[2] == str(inode) for one in words)


def read(config: AgentConfig) -> dict[str, Any]:
    """What the agent says of itself; `running` alone if there is none.

    Raises:
        NotPermitted: this user may not know.
        Unreachable: it runs, and does not answer.
    """
    if not is_running(config.data):
        return {"running": False}
    path = os.path.realpath(socket_path(config.sessions, config.data, config.username))
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WITHIN_S)
            connection.connect(path)
            connection.sendall(b'{"words": ["status"]}\n')
            with connection.makefile() as answer:
                found = json.loads(answer.readline(_MOST))
                if "error" not in found:
                    return {"running": True, **found["status"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"the agent runs and does not answer on {path}: {error}") from None
    raise NotPermitted(f"the agent does not tell this user: {found['error']}")

"""`dryad status`: how a running agent is, asked of itself over its board's socket."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.errors import Unreachable
from dryad.board.service import socket_path
from dryad.preflight import is_running

if TYPE_CHECKING:
    from dryad.config import AgentConfig

WITHIN_S: Final = 5.0


def read(config: AgentConfig) -> dict[str, Any]:
    """What the agent says of itself; `running` alone if there is none.

    Raises:
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
                found = json.loads(answer.readline())
    except (OSError, ValueError) as error:
        raise Unreachable(f"the agent runs and does not answer on {path}: {error}") from None
    if "error" in found:
        raise Unreachable(f"the agent does not tell this user: {found['error']}")
    return {"running": True, **found["status"]}

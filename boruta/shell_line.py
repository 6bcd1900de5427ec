"""A command as one line for the shell of a board."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from boruta.domain.errors import BadRequest

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def shell_line(cmd: str | Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """The line for `cmd`: a text is one already, the words of a sequence are quoted.

    Raises:
        BadRequest: there is nothing to run, or something that no shell can be told.
    """
    line = cmd if isinstance(cmd, str) else shlex.join(cmd)
    # sshd passes on only the variables that its config names; a shell takes them all.
    for name, value in reversed(list((env or {}).items())):
        if not _ENV_NAME.fullmatch(name):
            raise BadRequest(f"env: {name!r} is no name of a variable")
        line = f"export {name}={shlex.quote(value)}; {line}"
    if not line.strip():
        raise BadRequest("cmd: there is nothing to run")
    if "\0" in line:
        raise BadRequest("cmd: a NUL character cannot be passed to a shell")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        part = line[max(0, error.start - 10) : error.start + 10]
        raise BadRequest(f"cmd: {part!r}: SSH carries a command as UTF-8, this is none") from None
    return line

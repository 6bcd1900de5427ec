"""Which asyncssh is here, told without loading it; embedded sessions need a recent one."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig

OLDEST: Final = (2, 23, 1)  # earlier ones have no such servers, or leave a directory by scp
_NUMBER: Final = re.compile(r"^__version__ = '(\d+(?:\.\d+)*)", re.MULTILINE)
_ELSE: Final = 'sessions = "system" needs none of it'


def check() -> str:
    """The version that is here.

    Raises:
        BadConfig: there is none, or it is too old.
    """
    wanted = ".".join(map(str, OLDEST))
    try:
        found = find_spec("asyncssh")
    except ValueError:  # half loaded
        found = None
    if found is None or found.origin is None:
        raise BadConfig(
            f'sessions = "embedded": asyncssh is missing (want {wanted} or later); {_ELSE}'
        )
    # Not by importlib.metadata, which costs an idle agent more than a megabyte.
    text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    match = _NUMBER.search(text)
    version = match[1] if match else "0"
    if tuple(map(int, version.split("."))) < OLDEST:
        raise BadConfig(
            f'sessions = "embedded": asyncssh {version} is here, want {wanted} or later; {_ELSE}'
        )
    return version

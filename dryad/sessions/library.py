"""asyncssh, which embedded sessions stand on: whether it is there, without loading its 18 MB."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig

LEAST: Final = (2, 23, 1)  # as in setup.cfg
_HINT: Final = (
    "pip install asyncssh in an environment of the agent's own, or run it as root with "
    'sessions = "system", which needs none'
)


def check() -> str:
    """The version that is installed.

    Raises:
        BadConfig: none is, or one that is too old; the text says what to do.
    """
    least = ".".join(map(str, LEAST))
    found = importlib.util.find_spec("asyncssh")
    if found is None or not found.origin:
        raise BadConfig(f'sessions = "embedded" needs asyncssh {least}: {_HINT}')
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
        version = re.search(r"__version__ = '([0-9.]+)'", text)
    except (OSError, UnicodeDecodeError):
        version = None
    if version is None:
        return "unknown"  # packed in another way; what is wrong with it will be seen
    if tuple(map(int, version[1].split("."))) < LEAST:
        raise BadConfig(f'sessions = "embedded" needs asyncssh {least}, not {version[1]}: {_HINT}')
    return version[1]

"""Keeps OpenSSL out of an agent that speaks no TLS.

asyncio and hashlib load it where it is there, for what an agent never does, and do without where it
is not: 5 MB of the 34 that an idle agent would take on a board of 512.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

_MODULES: Final = ("ssl", "_ssl", "_hashlib")


def leave_out_openssl() -> None:
    """From now on nothing loads it; to be called before asyncio is loaded."""
    for name in _MODULES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def give_back_memory() -> None:
    """What the start took and nobody needs any more goes back to the kernel."""
    import ctypes
    import gc

    gc.collect()
    gc.freeze()  # what lives now lives as long as the agent
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def allow_openssl() -> None:
    """Whoever loads it from now on gets it."""
    for name in _MODULES:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]

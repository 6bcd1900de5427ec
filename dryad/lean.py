"""Keeps out of an agent what it never uses: OpenSSL, where it speaks no TLS, and bzip2 and xz.

asyncio, hashlib and shutil load them where they are there, and do without where they are not: 5 MB
of the 34 that an idle agent would take on a board of 512.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

_MODULES: Final = ("ssl", "_ssl", "_hashlib", "bz2", "lzma")
_M_ARENA_MAX: Final = -8  # of mallopt(3)


def leave_out_the_unused() -> None:
    """From now on nothing loads them; to be called before asyncio is loaded."""
    for name in _MODULES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def keep_one_heap() -> None:
    """The few threads share it: a heap for each would hold what its thread took at the start."""
    import ctypes

    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """What the start took and nobody needs any more goes back to the kernel."""
    import ctypes
    import gc

    gc.collect()
    gc.freeze()  # what lives now lives as long as the agent
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def allow_all() -> None:
    """Whoever loads them from now on gets them."""
    for name in _MODULES:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]

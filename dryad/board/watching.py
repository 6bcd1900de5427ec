"""One connection that is fed what the target says."""

from __future__ import annotations

import asyncio

from dryad.board.console import BEHIND_MOST


class Watching:
    """One connection that is fed what the target says."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._begun = False
        self._early: list[bytes] = []
        self.over = asyncio.Event()

    def begin(self) -> None:
        """What came while the head was written goes after it."""
        self._begun = True
        for data in self._early:
            self._writer.write(data)
        self._early.clear()

    def feed(self, data: bytes) -> bool:
        """See `Reader`."""
        if not self._begun:
            self._early.append(data)
            return True
        self._writer.write(data)
        return self._writer.transport.get_write_buffer_size() < BEHIND_MOST

    def gone(self, why: str) -> None:
        """See `Reader`."""
        self._writer.write(f"\r\n[board console: {why}]\r\n".encode())
        self.over.set()

"""Files for the holder, by sftp and by scp.

Relative paths start in his home, absolute ones are the board's own: the files that his programs
can reach, since both run as the agent's user. A root directory of his own would only pretend: a
command on the same connection sees everything.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import stat
from concurrent.futures import Executor
from typing import cast

import asyncssh
from asyncssh.sftp import SFTPServer

_MEMORY_DEVICES = 1  # major number: null, zero, full, random


class HolderFiles(SFTPServer):
    """One sftp or scp conversation.

    Args:
        channel: the SSH channel.
        home: where relative paths start.
        threads: reads and writes wait here, so that a slow card does not hold up the agent.
    """

    def __init__(
        self, channel: asyncssh.SSHServerChannel[bytes], home: bytes, threads: Executor
    ) -> None:
        super().__init__(channel)
        self._home = home
        self._threads = threads

    def map_path(self, path: bytes) -> bytes:
        """The file that `path` names; scp -O sends `~` as it is."""
        if path == b"~" or path.startswith(b"~/"):
            path = path[2:]
        return posixpath.join(self._home, path)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Opens a file, but nothing that could block for ever."""
        self._refuse_what_blocks(path)
        return super().open(path, pflags, attrs)

    def open56(
        self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs
    ) -> object:
        """The same for newer versions of the protocol."""
        self._refuse_what_blocks(path)
        return super().open56(path, desired_access, flags, attrs)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Reads without holding up the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, os.pread, _fd(file_obj), size, offset)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Writes all of `data` without holding up the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _write_all, _fd(file_obj), data, offset)

    async def fsync(self, file_obj: object) -> None:
        """Waits for the card without holding up the loop."""
        await asyncio.get_running_loop().run_in_executor(self._threads, os.fsync, _fd(file_obj))

    def exit(self) -> None:
        """The conversation is over; without a status stock clients report a failure."""
        self.channel.exit(0)

    def _refuse_what_blocks(self, path: bytes) -> None:
        try:
            found = os.stat(self.map_path(path))
        except OSError:
            return  # to be made, or the open says why not
        if stat.S_ISFIFO(found.st_mode) or (
            stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) != _MEMORY_DEVICES
        ):
            raise asyncssh.SFTPFailure("neither a file nor a disk: use a command to read or write")


def _fd(file_obj: object) -> int:
    return cast("int", getattr(file_obj, "fileno")())  # noqa: B009 - a file object of asyncssh's


def _write_all(fd: int, data: bytes, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)
    return done

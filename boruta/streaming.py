"""A command on a board whose input and output are this process's own, as they come."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, BinaryIO, Final

from boruta.sshlink import LinkBroken

if TYPE_CHECKING:
    import asyncssh

CHUNK: Final = 65536


async def joined(
    process: asyncssh.SSHClientProcess[bytes],
    source: int | None,
    stdout: BinaryIO,
    stderr: BinaryIO,
) -> None:
    """Carries bytes both ways until the command has ended and all it wrote is here.

    Args:
        process: the command.
        source: a file descriptor that it reads from; None: it was started without input.
        stdout: where its output goes.
        stderr: where its errors go.
    """
    if source is not None:
        _feed(source, process.stdin, asyncio.get_running_loop())
    await asyncio.gather(_pump(process.stdout, stdout), _pump(process.stderr, stderr))
    await process.wait_closed()


async def as_socket(
    process: asyncssh.SSHClientProcess[bytes],
) -> tuple[socket.socket, asyncio.Task[None]]:
    """A socket whose other end is the command's input and output, and the task that carries them.

    Closing it ends the command; the command's end is the socket's.
    """
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def inwards() -> None:
        while data := await reader.read(CHUNK):
            process.stdin.write(data)
            await process.stdin.drain()

    async def outwards() -> None:
        while data := await _read(process.stdout):
            writer.write(data)
            await writer.drain()

    async def carry() -> None:
        both = {asyncio.create_task(inwards()), asyncio.create_task(outwards())}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.close()
            process.close()

    return ours, asyncio.create_task(carry())


async def _pump(reader: asyncssh.SSHReader[bytes], sink: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    while data := await _read(reader):
        # A pipe that nobody reads blocks a thread, never the loop.
        await loop.run_in_executor(None, _write, sink, data)


async def _read(reader: asyncssh.SSHReader[bytes]) -> bytes:
    try:
        return await reader.read(CHUNK)
    except ConnectionError as error:
        raise LinkBroken("the connection ended before the command did") from error


def _write(sink: BinaryIO, data: bytes) -> None:
    sink.write(data)
    sink.flush()


def _feed(source: int, stdin: asyncssh.SSHWriter[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """Reads in a thread of its own: a terminal or a pipe may say nothing for ever."""

    async def pass_on(data: bytes) -> None:
        stdin.write(data)
        await stdin.drain()

    def read() -> None:
        try:
            while data := os.read(source, CHUNK):
                asyncio.run_coroutine_threadsafe(pass_on(data), loop).result()
            loop.call_soon_threadsafe(stdin.write_eof)
        except Exception:
            return  # the command has ended, and with it whoever would read on

    threading.Thread(target=read, name="boruta-stdin", daemon=True).start()

"""An interactive shell on this process's terminal: OpenSSH's client, else asyncssh."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

from boruta.domain.errors import ActionRefused
from boruta.domain.types import AccessInfo
from boruta.ssh import find_openssh, ssh_files

if TYPE_CHECKING:
    import asyncssh

    from boruta.sshlink import SshLink


async def interactive(link: SshLink, access: AccessInfo) -> int:
    """Runs a shell until it ends; its exit status.

    Raises:
        ActionRefused: neither OpenSSH nor a terminal is there.
    """
    program = find_openssh()
    if program is not None:
        with ssh_files(access) as files:
            return await _attended(files.ssh(program=program))
    if not sys.stdin.isatty():
        raise ActionRefused("a shell needs a terminal, or the program ssh")
    size = shutil.get_terminal_size()
    process = await link.terminal((size.columns, size.lines), os.environ.get("TERM", "vt100"))
    with _raw(sys.stdin.fileno()):
        return await _joined(process, sys.stdin.fileno(), sys.stdout.fileno())


async def _attended(command: list[str]) -> int:
    # Ctrl-C belongs to the shell on the board: the child gets it from the terminal by itself.
    child = await asyncio.create_subprocess_exec(*command)
    try:
        return await child.wait()
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGHUP)
            await child.wait()


@contextlib.contextmanager
def _raw(handle: int) -> Iterator[None]:
    before = termios.tcgetattr(handle)
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    try:
        tty.setraw(handle)
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        yield
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


async def _joined(process: asyncssh.SSHClientProcess[bytes], source: int, sink: int) -> int:
    loop = asyncio.get_running_loop()

    def typed() -> None:
        with contextlib.suppress(BlockingIOError):
            process.stdin.write(os.read(source, 4096))

    loop.add_reader(source, typed)
    try:
        while data := await process.stdout.read(65536):
            while data:
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(sink, data) :]
        await process.wait_closed()
    finally:
        loop.remove_reader(source)
    return 255 if process.returncode is None else process.returncode

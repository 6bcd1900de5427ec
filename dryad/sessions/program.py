"""One channel of the holder's: a command, a shell, or a conversation about files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.channel import SSHChannel
from asyncssh.stream import SSHServerStreamSession

from boruta.domain.errors import BorutaError
from dryad.sessions import terminal
from dryad.sessions.keeping import Child, Program
from dryad.sessions.pumps import Input, Output
from dryad.sessions.sftp import HolderFiles
from dryad.sessions.stay import Stay

if TYPE_CHECKING:
    from dryad.sessions.embedded import Place

log = logging.getLogger("dryad.sessions")

# The signals that RFC 4254 has names for; others get OpenSSH's form.
_RFC_SIGNALS = frozenset(
    {"ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM"}
    | {"USR1", "USR2"}
)
_ENV_ENTRIES = 256  # what a client may set; the rest is dropped
_ENV_BYTES = 64 << 10


class HolderChannel(SSHServerStreamSession[bytes]):
    """Files go to asyncssh's own server, everything else to a program below the keeper.

    Args:
        stay: whose channel it is.
        place: what does not change from one holder to the next.
    """

    def __init__(self, stay: Stay, place: Place) -> None:
        super().__init__(None, self._files, sftp_version=3, allow_scp=True)
        self._stay = stay
        self._place = place
        self._run: asyncio.Task[None] | None = None
        self._input: Input | None = None
        self._outputs: list[Output] = []
        self._child: Child | None = None
        self._master: int | None = None
        self._paused = False
        self._lost = False

    # What the client asks for.

    def pty_requested(self, *_: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return not self._stay.over

    def exec_requested(self, command: str) -> bool:
        return not self._stay.over

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp" and not self._stay.over

    def session_started(self) -> None:
        command = self._channel.get_command()
        if self._channel.get_subsystem() or (command is not None and _is_scp(command)):
            super().session_started()
            return
        loop = asyncio.get_running_loop()
        self._input = Input(loop, self._channel)
        self._run = loop.create_task(self._run_program(command))

    # What happens to it.

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._input is not None:
            self._input.feed(data)
        else:
            super().data_received(data, datatype)

    def eof_received(self) -> bool:
        if self._input is not None:
            self._input.end()
            return True  # the program may have more to say
        return super().eof_received()

    def pause_writing(self) -> None:
        self._paused = True
        for output in self._outputs:
            output.pause()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        for output in self._outputs:
            output.resume()
        super().resume_writing()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._master is not None:
            terminal.resize(self._master, (width, height, pixwidth, pixheight))

    def signal_received(self, signal: str) -> None:
        number = _signal_number(signal)
        if self._child is not None and number is not None:
            self._stay.send_signal(self._child, number)

    def break_received(self, msec: int) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._input is None:
            super().connection_lost(exc)
            return
        # As if a terminal were hung up: what wants to outlive it takes a session of its own or
        # ignores the signal, and lives until the stay ends.
        if self._child is not None and not self._child.exited.done():
            self._stay.send_signal(self._child, signal.SIGHUP)
        self._close_pumps()

    # The program.

    async def _run_program(self, command: str | None) -> None:
        channel = self._channel
        try:
            self._child = await self._start(command)
            status = await self._child.exited
            for output in self._outputs:
                if self._master is not None:
                    output.finish()
                await output.done
            if self._lost:
                return
            if os.WIFSIGNALED(status):
                name = signal.Signals(os.WTERMSIG(status)).name.removeprefix("SIG")
                known = name if name in _RFC_SIGNALS else f"{name}@openssh.com"
                channel.exit_with_signal(known, os.WCOREDUMP(status))
            else:
                channel.exit(os.waitstatus_to_exitcode(status))
        except (BorutaError, OSError) as error:
            log.info("program_not_run reason=%r", str(error))
            if not self._lost:
                with contextlib.suppress(OSError):
                    channel.write(f"boruta: {error}\r\n".encode(), asyncssh.EXTENDED_DATA_STDERR)
                channel.exit(126)
        finally:
            self._close_pumps()

    async def _start(self, command: str | None) -> Child:
        loop = asyncio.get_running_loop()
        channel, place = self._channel, self._place
        assert self._input is not None
        env = self._environment()
        shell = place.shell
        argv = [shell, "-c", command] if command is not None else [f"-{os.path.basename(shell)}"]
        mine: list[int] = []
        his: list[int] = []
        on_eof: Callable[[int], None] = os.close
        try:
            if channel.get_terminal_type() is not None:
                size, modes = channel.get_terminal_size(), channel.get_terminal_modes()
                master, slave = terminal.open_terminal(size, modes)
                mine += [os.dup(master), master]
                his += [slave]
                env["TERM"] = channel.get_terminal_type() or "dumb"
                env["SSH_TTY"] = os.ttyname(slave)
                self._master = master
                on_eof = terminal.end_of_input
            else:
                for inwards in (True, False, False):
                    reader, writer = os.pipe()
                    mine.append(writer if inwards else reader)
                    his.append(reader if inwards else writer)
            program = Program(shell, argv, env, str(self._stay.home.home))
            child = await self._stay.spawn(program, (his * 3)[:3], tty=len(his) == 1)
        except BaseException:
            self._master = None
            for fd in mine:
                os.close(fd)
            raise
        finally:
            for fd in his:
                os.close(fd)
        for fd in mine:
            os.set_blocking(fd, False)
        kinds = [None, asyncssh.EXTENDED_DATA_STDERR]
        self._input.attach(mine[0], on_eof)
        self._outputs = [
            Output(loop, channel, fd, kind) for fd, kind in zip(mine[1:], kinds, strict=False)
        ]
        if self._paused:
            self.pause_writing()
        if self._lost:  # while it was being started
            self._child = child
            self.connection_lost(None)
        return child

    def _environment(self) -> dict[str, str]:
        place, home = self._place, self._stay.home
        env = home.environment(place.username, place.shell, place.hardware_env)
        left = _ENV_BYTES
        for name, value in list(self._channel.get_environment().items())[:_ENV_ENTRIES]:
            left -= len(name) + len(value)
            if left >= 0 and name and not set("=\0") & set(name) and "\0" not in value:
                env[name] = value
        # The net of `sweep`: a client does not set it, whatever else is his.
        own = home.environment(place.username, place.shell, {})
        env["BORUTA_SESSION"] = own["BORUTA_SESSION"]
        connection = self._channel.get_connection()
        peer, local = connection.get_extra_info("peername"), connection.get_extra_info("sockname")
        if peer and local:
            env["SSH_CONNECTION"] = f"{peer[0]} {peer[1]} {local[0]} {local[1]}"
            env["SSH_CLIENT"] = f"{peer[0]} {peer[1]} {local[1]}"
        return env

    def _close_pumps(self) -> None:
        self._master = None
        if self._input is not None:
            self._input.close()
        for output in self._outputs:
            output.close()

    def _files(self, channel: SSHChannel[bytes]) -> HolderFiles:
        return HolderFiles(self._channel, os.fsencode(self._stay.home.home), self._place.threads)

    @property
    def _channel(self) -> asyncssh.SSHServerChannel[bytes]:
        assert isinstance(self._chan, asyncssh.SSHServerChannel)
        return self._chan


def _is_scp(command: str) -> bool:
    """Whether it is the far end of an ``scp -O``, not an scp that the holder runs himself."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    if not words or words[0] != "scp":
        return False
    options = []
    for word in words[1:]:
        if not word.startswith("-") or word in ("-", "--"):
            break
        options.append(word[1:])
    return any(letter in option for option in options for letter in "tf")


def _signal_number(name: str) -> int | None:
    try:
        return signal.Signals[f"SIG{name.removesuffix('@openssh.com')}"]
    except KeyError:
        return None

"""One command at a time over the STM's port, and back in step after whatever went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Final

from boruta.domain.errors import BadRequest, ShuttingDown
from dryad.hardware.stm_answers import (
    Answer,
    Lines,
    PortUnusable,
    StmError,
    StmGarbled,
    StmSilent,
    shown,
)
from dryad.hardware.stm_port import SerialPort
from dryad.logs import event

_log = logging.getLogger("dryad.hardware")

ANSWER_WITHIN_S: Final = 2.0  # of any command that does not wait by itself; it takes some ms
LONGEST_COMMAND: Final = 63  # characters; the firmware's buffer has 64 bytes
_QUIET_S: Final = 0.05  # without a byte, about 500 times one byte's time: nothing more comes
_QUIET_LOOKS: Final = 10
VERSION: Final = re.compile(r"MuxPi firmware v(\S+)")
_ECHO_OFF: Final = re.compile(r"Echo is (?:on|off) now\.")


class StmLine:
    """The way to one STM. The port is opened by the first command, and again after a loss.

    Args:
        path: the port.
        on_key: called with 1 or 2 when that key is pressed.
        within_s: how long a command may take that does not wait by itself, in seconds.
    """

    def __init__(
        self,
        path: str,
        *,
        on_key: Callable[[int], None] | None = None,
        within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self.path = path
        self.on_key = on_key
        self.within_s = within_s
        self.doing = ""  # the command that runs
        self.echoes = False  # whether the firmware does, told to or not
        self._port: SerialPort | None = None
        self._lines = Lines()
        self._turn = asyncio.Lock()
        self._in_step = False
        self._closed = False
        self._busy_until = 0.0  # by the loop's time: an earlier command may run until then
        self._answer: Answer | None = None
        self._done: asyncio.Future[None] | None = None
        self._last: list[str] = []  # what came in a resync, for its error
        self._count = 0  # of pieces that came

    async def ask(
        self,
        command: str,
        *shapes: re.Pattern[str],
        waits_s: float = 0.0,
        again: bool = True,
    ) -> list[re.Match[str]]:
        """Sends a command; its data lines, one for each shape.

        Args:
            command: without a line's end.
            shapes: of the data lines; whatever differs is taken for noise.
            waits_s: how long the firmware waits before it answers, in seconds.
            again: whether doing it twice does no harm; then it is tried again after noise.

        Raises:
            StmError: it did not do it, or nobody knows; the kind says which.
            ShuttingDown: it was closed.
        """
        return (await self.converse(command, waits_s=waits_s, again=again, shapes=shapes))[1]

    async def converse(
        self,
        command: str,
        *,
        waits_s: float = 0.0,
        again: bool = True,
        shapes: tuple[re.Pattern[str], ...] | None = None,
    ) -> tuple[list[str], list[re.Match[str]]]:
        """As `ask`; the data lines as they are too. Without `shapes` any will do."""
        if not command.isascii() or not command.isprintable() or len(command) > LONGEST_COMMAND:
            raise BadRequest(f"{command!r} is no command: want up to 63 printable characters")
        async with self._turn:
            tries = 2 if again else 1
            while True:
                tries -= 1
                try:
                    await self._synchronise()
                    answer = await self._exchange(command, self.within_s + waits_s)
                    matches = answer.read(*(shapes or ())) if shapes is not None else []
                    self._check_echo(answer)
                    return answer.data, matches
                except PortUnusable:
                    raise
                except StmError as error:
                    self._in_step = False
                    if not tries:
                        raise
                    event(_log, logging.INFO, "stm_asked_again", port=self.path, error=error)

    def close(self) -> None:
        """Gives the port back; idempotent."""
        self._closed = True
        self._drop("it is closed")

    # --- one exchange
    async def _exchange(self, command: str, within_s: float) -> Answer:
        answer = Answer(command)
        loop = asyncio.get_running_loop()
        self.doing = command
        self._busy_until = loop.time() + within_s
        try:
            await self._send(f"{command}\n", answer, within_s)
        except TimeoutError:
            seen = f"only {shown(answer.data)}" if answer.data or answer.echoed else "nothing"
            raise StmSilent(
                f"{self.path}: {command}: no answer within {within_s:g} s, {seen} came"
            ) from None
        finally:
            self.doing = ""
            if not answer.complete:
                self._in_step = False
        self._busy_until = 0.0
        return answer

    def _check_echo(self, answer: Answer) -> None:
        if self.echoes and not answer.echoed:
            raise StmGarbled(f"{self.path}: {answer.command}: the answer to something else")
        if answer.echoed and not self.echoes:
            # It was told not to. The answer is right, but whatever was set before is lost.
            event(_log, logging.WARNING, "stm_was_restarted", port=self.path)
            self._in_step = False

    async def _send(self, text: str, answer: Answer, within_s: float) -> None:
        port = self._opened()
        self._done = asyncio.get_running_loop().create_future()
        self._answer = answer
        try:
            async with asyncio.timeout(within_s):
                await port.write(text.encode("ascii"))
                await self._done
        finally:
            if self._done.done() and not self._done.cancelled():
                self._done.exception()  # the port may have gone before anybody waited
            self._answer = self._done = None

    # --- in step
    async def _synchronise(self) -> None:
        """After it, the next line that comes belongs to the next command."""
        if self._in_step:
            return
        left = self._busy_until - asyncio.get_running_loop().time()
        self._opened().discard()
        self._lines.clear()
        self._last.clear()
        answer = _Greeting()
        within_s = self.within_s + max(0.0, left)
        try:
            # The first line's end finishes what was half received; that gets its own answer.
            await self._send("\nversion\n", answer, within_s)
        except TimeoutError:
            raise StmSilent(self._why(within_s)) from None
        self._busy_until = 0.0
        await self._quiet()
        self._in_step = True  # until a line comes that nobody asked for
        try:
            # Some firmware says that it stops and goes on: only the next answer tells.
            (await self._exchange("echo off", self.within_s)).read(_ECHO_OFF)
            told = await self._exchange("version", self.within_s)
            told.read(VERSION)
        except BaseException:
            self._in_step = False
            raise
        self.echoes = told.echoed
        if self._strayed():
            raise StmGarbled(f"{self.path}: it talks between answers: {shown(self._last)}")

    def _strayed(self) -> bool:
        return not self._in_step

    async def _quiet(self) -> None:
        for _ in range(_QUIET_LOOKS):
            before = self._count
            await asyncio.sleep(_QUIET_S)
            if self._count == before:
                self._lines.clear()
                return
        raise StmGarbled(f"{self.path}: it does not stop talking: {shown(self._last)}")

    def _why(self, within_s: float) -> str:
        if not self._last:
            return f"{self.path}: no answer within {within_s:g} s"
        return (
            f"{self.path}: what answers is no STM, or at another speed: "
            f"{shown(self._last)} instead of its version"
        )

    # --- the port
    def _opened(self) -> SerialPort:
        if self._closed:
            raise ShuttingDown(f"{self.path}: the STM is closed")
        if self._port is None or not self._port.is_open:
            self._port = SerialPort(self.path, self._came, self._drop)
            self._in_step = False
        return self._port

    def _came(self, data: bytes) -> None:
        self._count += 1
        for line in self._lines.feed(data):
            if isinstance(line, int):
                event(_log, logging.DEBUG, "key_pressed", key=line)
                if self.on_key is not None:
                    with contextlib.suppress(Exception):  # a listener's defect is not the wire's
                        self.on_key(line)
                continue
            self._last = [*self._last[-2:], line]
            if self._answer is None or self._answer.complete:
                # Nobody asked: an answer that came too late, or noise.
                self._in_step = False
                continue
            self._answer.take(line)
            self._finish()

    def _finish(self) -> None:
        done = self._done
        if self._answer is not None and self._answer.complete and done and not done.done():
            done.set_result(None)

    def _drop(self, why: str) -> None:
        port, self._port = self._port, None
        self._in_step = False
        if port is not None:
            port.close()
        if self._done is not None and not self._done.done():
            self._done.set_exception(PortUnusable(why))


class _Greeting(Answer):
    """The OK after a version: whatever came before answers something older."""

    def __init__(self) -> None:
        super().__init__("version")

    def take(self, line: str) -> None:
        if VERSION.fullmatch(line):
            self.data = [line]
        elif self.data and line == "OK":
            self.complete = True

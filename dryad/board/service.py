"""The board's socket: its hardware for whoever holds it, and for root.

A Unix socket; the kernel says whose the other end is (SO_PEERCRED). One line of JSON each way,
`{"words": [...]}` and `{"out": TEXT}`, `{"stream": KIND}` or `{"error", "code", "status"}`, with an
`out` beside it if something was done; after `stream` raw bytes follow until one side closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import (
    ActionRefused,
    BadRequest,
    BorutaError,
    Busy,
    InfraError,
    InternalLogicError,
    NotPermitted,
)
from dryad.board import orders
from dryad.board.console import Console
from dryad.board.recorder import Recorder
from dryad.board.watching import Watching
from dryad.clock import BootClock, Clock
from dryad.hardware.port import Hardware
from dryad.logs import event

_log = logging.getLogger("dryad.board")

NAME: Final = "board.sock"
RUN: Final = Path("/run/dryad")  # root's own; sshd reads no key below a directory of others
LONGEST_PATH: Final = 100  # bytes; a Unix address has 107
LONGEST_LINE: Final = 1 << 16
ASKS_WITHIN_S: Final = 10.0
CONNECTIONS: Final = 64
_CHUNK: Final = 4096
_CREDENTIALS: Final = struct.Struct("3i")


def socket_path(sessions: str, data: Path, username: str) -> Path:
    """Where an agent with this config listens: root's own place, or its directory."""
    return RUN / username / NAME if sessions == "system" else data / NAME


class BoardService:
    """Listens from `start` to `stop`; a holder may come between `open` and `close`.

    Args:
        path: of the socket; one that is too long is replaced by a place of its own.
        hardware: the board's.
        console: its target's serial line, if it has one.
        clock: what recordings of the current are timed by.

    Attributes:
        status: what the agent tells root, and its own user, of itself.
    """

    def __init__(
        self,
        path: Path,
        hardware: Hardware,
        console: Console | None,
        clock: Clock | None = None,
    ) -> None:
        self._link: Path | None = None
        if len(os.fsencode(path)) > LONGEST_PATH:
            self._link = path
            path = Path(tempfile.mkdtemp(prefix="boruta-board-")) / NAME
        self.path = path
        self.status: Callable[[], Mapping[str, object]] = dict
        self._hardware = hardware
        self._console = console
        self._recorder = Recorder(clock or BootClock())
        self._server: asyncio.Server | None = None
        self._holder: int | None = None
        self._talks: dict[asyncio.Task[None], bool] = {}  # whether it is root's

    async def start(self) -> None:
        """Listens.

        Raises:
            InfraError: it cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(
                self._talk, self.path, limit=LONGEST_LINE
            )
            self.path.chmod(0o666)  # anybody may knock; the kernel says who it is
            if self._link is not None:
                self._link.unlink(missing_ok=True)
                self._link.symlink_to(self.path)
        except OSError as error:
            raise InfraError(f"{self.path}: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Ends every talk and listens no more; idempotent."""
        await self.close()
        if self._server is not None:
            self._server.close()
            await self._end(list(self._talks))
            await self._server.wait_closed()
            self._server = None
            self.path.unlink(missing_ok=True)
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.unlink()
                self.path.parent.rmdir()

    def open(self, uid: int) -> None:
        """Programs of `uid` may use the board from now on."""
        self._holder = uid
        if self._console is not None:
            try:
                self._console.begin()
            except OSError as error:  # no room for its log: a job may do without
                event(_log, logging.WARNING, "console_not_logged", error=error)

    async def close(self) -> None:
        """The holder may no more; what he has begun is cancelled. Idempotent."""
        self._holder = None
        self._recorder.drop()
        await self._end([talk for talk, is_root in self._talks.items() if not is_root])
        if self._console is not None:
            self._console.finish()

    async def _end(self, talks: list[asyncio.Task[None]]) -> None:
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    # --- one talk
    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        uid = _peer(writer)
        self._talks[task] = uid == 0 and self._holder != 0
        try:
            try:
                if len(self._talks) > CONNECTIONS:
                    raise Busy(f"board: more than {CONNECTIONS} connections at once")
                await self._answer(uid, await _read(reader), reader, writer)
            except BorutaError as error:
                _write(writer, _error(error))
            except (OSError, asyncio.IncompleteReadError):
                return  # whoever asked is gone
            except Exception as error:  # a driver's defect is no end of the agent
                _log.exception("board order failed")
                _write(writer, _error(InternalLogicError(f"{type(error).__name__}: {error}")))
            with contextlib.suppress(OSError):
                await writer.drain()
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                return  # the job is over; nobody waits for this task's own end
            raise
        finally:
            del self._talks[task]
            writer.close()

    async def _answer(
        self,
        uid: int,
        words: list[str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if words == ["help"]:
            _write(writer, {"out": orders.usage()})
            return
        if words == ["status"] and uid in (0, os.geteuid()):
            _write(writer, {"status": self.status()})
            return
        admin = uid == 0
        if not admin and uid != self._holder:
            raise NotPermitted(
                "board: it is not lent to you" + (" now" if self._holder is None else "")
            )
        name = orders.check(words, admin=admin)
        event(_log, logging.INFO, "board_order", order=" ".join(words)[:80], uid=uid)
        if name == "console":
            await self._serve_console(words[1:], reader, writer)
        elif name == "record":
            out, fault = orders.keep_record(self._recorder, self._hardware, words[1:])
            _write(writer, {"out": out} | (_error(fault) if fault else {}))
        elif name == "current" and (wanted := orders.read_recording(words[1:])) is not None:
            await self._serve_recording(wanted, reader, writer)
        else:
            _write(writer, {"out": await orders.carry_out(self._hardware, words)})

    async def _serve_recording(
        self,
        wanted: orders.Recording,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        first = True
        async for line in orders.record(self._hardware, wanted):
            if first:  # its error would have come by now
                _write(writer, {"stream": "text"})
                first = False
            writer.write(line.encode())
            await writer.drain()
            if reader.at_eof():
                return

    async def _serve_console(
        self, words: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not set(words) <= {"--read", "--log"}:
            raise BadRequest("want: board console [--read] [--log]")
        console = self._console
        if console is None:
            raise ActionRefused("this board has no console: [console] port in dryad.toml names it")
        if words == ["--log"]:
            _write(writer, {"stream": "text"})
            writer.write(console.log())
            return
        write = "--read" not in words
        watching = Watching(writer)
        console.attach(watching, write=write)
        try:
            _write(writer, {"stream": "console" if write else "text", "attached": True})
            if "--log" in words:
                writer.write(console.log())
            watching.begin()
            await self._pump(console, watching, reader, write)
        finally:
            console.detach(watching)

    async def _pump(
        self, console: Console, watching: Watching, reader: asyncio.StreamReader, write: bool
    ) -> None:
        over = asyncio.ensure_future(watching.over.wait())
        try:
            while not watching.over.is_set():
                typed = asyncio.ensure_future(reader.read(_CHUNK))
                await asyncio.wait({typed, over}, return_when=asyncio.FIRST_COMPLETED)
                if not typed.done():
                    typed.cancel()
                    await asyncio.gather(typed, return_exceptions=True)
                    return
                data = typed.result()
                if not data:
                    return
                if write:
                    await console.write(data)
        finally:
            over.cancel()


def _peer(writer: asyncio.StreamWriter) -> int:
    sock = writer.get_extra_info("socket")
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


async def _read(reader: asyncio.StreamReader) -> list[str]:
    try:
        async with asyncio.timeout(ASKS_WITHIN_S):
            line = await reader.readuntil(b"\n")
        words = json.loads(line)["words"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise TypeError("words: want a list of texts")
    except TimeoutError:
        raise BadRequest(f"board: nothing was asked within {ASKS_WITHIN_S:g} s") from None
    except (asyncio.LimitOverrunError, ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest('board: want one line of JSON, {"words": ["power", "on"]}') from None
    return words


def _error(error: BorutaError) -> dict[str, object]:
    return {"error": error.message, "code": error.code, "status": error.exit_status}


def _write(writer: asyncio.StreamWriter, answer: Mapping[str, object]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")

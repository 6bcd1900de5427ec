"""One holder's stay: his key, his home, his connections, his processes, and the end of it all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from boruta.domain.errors import BoardLost, Busy, SessionAlive
from dryad.sessions import home as homes
from dryad.sessions.keeping import Child, Keeping, Program
from dryad.sessions.sweep import sweep

log = logging.getLogger("dryad.sessions")

PROGRAMS = 128  # live ones of one holder: each costs the agent three descriptors; then refused


class Connection(Protocol):
    """What a stay needs of a holder's connection."""

    def abort(self) -> None:
        """Cuts it at once."""
        ...


class Stay:
    """Made by `let_in`, over for good with `end`.

    Args:
        base: the directory of homes; `Stay.open` makes this one's.
        key: the public key that opens, as it goes over the wire.
        epoch: the board epoch it stands for.
        on_login: called at the first login.
    """

    def __init__(
        self, home: homes.Home, key: bytes, epoch: int, on_login: Callable[[], None]
    ) -> None:
        self.home = home
        self.key = key
        self.epoch = epoch
        self.connections: set[Connection] = set()
        self.over = False
        self.active = False
        self._on_login = on_login
        self._keeping: asyncio.Task[Keeping] | None = None
        self._keeper_lost = False
        self._ending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._programs = 0

    @classmethod
    async def open(cls, base: Path, key: bytes, epoch: int, on_login: Callable[[], None]) -> Stay:
        """A stay with a fresh home."""
        loop = asyncio.get_running_loop()
        # Hex alone: it is a file name and a value in an environment.
        home = await loop.run_in_executor(None, homes.make, base, os.urandom(6).hex())
        return cls(home, key, epoch, on_login)

    def login(self) -> None:
        """A connection has shown the key."""
        if not self.active:
            self.active = True
            self._start_keeper()
            self._on_login()
        elif self._keeping is None:
            self._start_keeper()

    async def spawn(self, program: Program, descriptors: Sequence[int], *, tty: bool) -> Child:
        """Has the keeper start a program of the holder's.

        Raises:
            BoardLost: the stay is over, or there is no keeper.
            Busy: he runs too many programs at once.
        """
        if self._keeping is None or self.over:
            raise BoardLost("the session is ending")
        if self._programs >= PROGRAMS:
            raise Busy(f"more than {PROGRAMS} programs at once")
        self._programs += 1
        try:
            keeping = await asyncio.shield(self._keeping)
            if self.over:
                raise BoardLost("the session is ending")
            child = keeping.spawn(program, descriptors, tty=tty)
        except BaseException:
            self._programs -= 1
            raise
        child.exited.add_done_callback(self._program_ended)
        return child

    def send_signal(self, child: Child, number: int) -> None:
        """Sends a signal to a program's process group."""
        if self._keeping is not None and self._keeping.done() and not self._keeping.exception():
            self._keeping.result().signal(child, number)

    async def end(self) -> None:
        """Ends it: key, connections, processes, home, in this order. Idempotent, joins itself.

        Raises:
            SessionAlive: something survives; calling again tries again.
        """
        if self._ending is None or (self._ending.done() and self._ending.exception()):
            self.over = True  # at once: the key opens nothing from here on
            for connection in list(self.connections):
                connection.abort()
            self._ending = asyncio.get_running_loop().create_task(self._end())
        # The one who waits may give up; what was begun goes on.
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        clean = not self._keeper_lost
        if self._keeping is not None:
            try:
                keeping = await self._keeping
            except BoardLost:  # it never started, so nothing did
                pass
            else:
                await keeping.end()
                clean = clean and keeping.clean
        if not clean:
            left = await loop.run_in_executor(None, sweep, self.home.token)
            if left:
                raise SessionAlive("processes survive SIGKILL", pids=left)
        try:
            await loop.run_in_executor(None, homes.remove, self.home)
        except OSError as error:
            raise SessionAlive(f"the holder's home cannot be removed: {error}") from error
        self.active = False

    def _start_keeper(self) -> None:
        self._keeping = asyncio.get_running_loop().create_task(Keeping.start(self._lost_keeper))
        self._keeping.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _lost_keeper(self) -> None:
        # The holder shot it. His next login gets a new one; what ran below the old one must go.
        log.warning("keeper_lost epoch=%d", self.epoch)
        self._keeper_lost = True
        self._keeping = None
        for connection in list(self.connections):
            connection.abort()
        task = asyncio.get_running_loop().create_task(self._sweep())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().run_in_executor(None, sweep, self.home.token)

    def _program_ended(self, _: asyncio.Future[int]) -> None:
        self._programs -= 1


def sweep_former(base: Path) -> list[str]:
    """Ends and removes what a former life of the agent left below `base`; blocks.

    Returns:
        What could not be ended or removed, as text for people.
    """
    trouble = []
    for home in homes.left_in(base):
        if left := sweep(home.token):
            trouble.append(f"processes of a former session survive: {left}")
            continue
        try:
            homes.remove(home)
        except OSError as error:
            trouble.append(f"a former session's home cannot be removed: {error}")
    return trouble


def environment(stay: Stay, username: str, shell: str, extra: Mapping[str, str]) -> dict[str, str]:
    """What a program of this stay starts with."""
    return stay.home.environment(username, shell, extra)

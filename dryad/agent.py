"""What the agent does, without a socket: commands in, replies out. The rules are SAFETY A2-A4."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import assert_never

from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    Done,
    EndedJob,
    EndSession,
    Healthcheck,
    KeptJob,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
    Registered,
)
from boruta.domain.errors import (
    ActionRefused,
    BorutaError,
    InternalLogicError,
    ShuttingDown,
    StaleEpoch,
)
from boruta.domain.types import Check, Epoch
from dryad.clock import Clock, boot_id
from dryad.hardware.port import Hardware
from dryad.holding import Holding
from dryad.lease import Memory
from dryad.logs import event
from dryad.sessions.port import Sessions
from dryad.sessions.room import Room

_log = logging.getLogger("dryad.agent")


def _no_news() -> None:
    pass


def _no_fault(_: str) -> None:
    pass


class Agent:
    """One board's agent.

    Args:
        sessions: who may log in.
        hardware: the board.
        check: the findings of a healthcheck.
        memory: what outlives the process.
        clock: seconds since boot, and timers.
        boot: what names this boot of the machine.
        name: the board's, for the log.
        room: the disk that a holder may not take; None: he may.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        hardware: Hardware,
        check: Callable[[], Awaitable[tuple[Check, ...]]],
        memory: Memory,
        clock: Clock,
        boot: str | None = None,
        name: str | None = None,
        room: Room | None = None,
    ) -> None:
        self._sessions = sessions
        self._hardware = hardware
        self._check_health = check
        self._clock = clock
        self._name = name
        boot = boot_id() if boot is None else boot
        self._holding = Holding(sessions, memory, clock, boot, name, _no_fault, _no_news, room)
        # Bounded by the kinds of command: a newer pair empties it.
        self._answers: dict[Command, CommandReply] = {}
        self._running: dict[Command, asyncio.Task[CommandReply]] = {}
        self._closed = False

    def listen(self, *, on_fault: Callable[[str], None], on_news: Callable[[], None]) -> None:
        """Who hears of faults (the board should be FAILED) and of news (register again)."""
        self._holding.on_fault, self._holding.on_news = on_fault, on_news

    def report(self, reason: str) -> None:
        """A fault was found: the board should be FAILED."""
        self._holding.on_fault(reason)

    @property
    def epoch(self) -> Epoch:
        """The highest pair seen."""
        return self._holding.epoch

    @property
    def job(self) -> KeptJob | None:
        """The job that goes on, with the seconds that are left."""
        return self._holding.job

    @property
    def ended(self) -> EndedJob | None:
        """The job that the server does not know to be over."""
        return self._holding.ended

    # --- life
    async def start(self) -> str:
        """Sweeps what an earlier life left, and listens; the SSH address, host:port."""
        return await self._holding.start()

    async def close(self) -> None:
        """Ends the session and listens no more; idempotent."""
        if self._closed:
            return
        self._closed = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            await self._holding.stop()
        except (BorutaError, OSError) as error:
            self._log(logging.ERROR, "sessions_not_stopped", error=error)
        await self._hardware.close()

    # --- commands
    async def handle(self, command: Command) -> CommandReply:
        """Carries a command out, or joins or repeats what was done for the same one.

        Raises:
            StaleEpoch: it comes from an older life of the board or the server.
            SessionAlive: a process of the holder is left.
            ActionRefused: a lease for a session that is over.
        """
        if self._closed:
            raise ShuttingDown("the agent is stopping")
        match command:
            case Lease():
                return await self._lease(command)
            case Healthcheck():
                return await self._once(command, self._healthcheck)
            case EndSession(epoch=epoch):
                if not self._holding.may_live(epoch.board):
                    return Done()  # it was over before a newer key was let in, or is over now
                if epoch.board >= self.epoch.board:
                    self._refuse_stale(epoch)
                return await self._once(command, lambda: self._end(epoch))
            case Prepare(epoch=epoch):
                self._refuse_stale(epoch)
                return await self._once(command, lambda: self._prepare(command))
            case PutInMaintenance(epoch=epoch):
                self._refuse_stale(epoch)
                return await self._once(command, lambda: self._maintain(command))
            case _:
                assert_never(command)

    async def _once(
        self, command: Command, run: Callable[[], Awaitable[CommandReply]]
    ) -> CommandReply:
        if command in self._answers:
            return self._answers[command]
        task = self._running.get(command)
        if task is None:
            task = asyncio.create_task(self._run(command, run), name=f"dryad {_name(command)}")
            self._running[command] = task
            task.add_done_callback(_seen)
        # Whoever asked may go away (its link was cut); what was begun is brought to its end.
        return await asyncio.shield(task)

    async def _run(
        self, command: Command, run: Callable[[], Awaitable[CommandReply]]
    ) -> CommandReply:
        name, epoch = _name(command), getattr(command, "epoch", None)
        shown = _pair(epoch) if epoch else None
        try:
            if epoch is not None:
                await self._advance(epoch)
            reply = await run()
        except BorutaError as error:
            self._log(logging.WARNING, f"{name}_failed", epoch=shown, error=error)
            raise
        except Exception as error:
            _log.exception("%s failed", name)
            raise InternalLogicError(f"{name}: {type(error).__name__}: {error}") from error
        finally:
            self._running.pop(command, None)
        self._log(logging.INFO, name, epoch=shown)
        if isinstance(command, Prepare | PutInMaintenance) and epoch == self.epoch:
            self._answers[command] = reply
        return reply

    async def _prepare(self, command: Prepare) -> CommandReply:
        board = command.epoch.board
        async with self._holding.turn:
            self._refuse_stale(command.epoch)  # a newer one may have come while this one waited
            self._holding.settled(before=board)
            await self._holding.end()
            await self._hardware.ready()
            self._refuse_stale(command.epoch)
            await self._holding.open(board, command.key, command.default_lease_s)
            return PrepareDone(self._sessions.username, tuple(self._sessions.host_keys))

    async def _maintain(self, command: PutInMaintenance) -> CommandReply:
        async with self._holding.turn:
            self._refuse_stale(command.epoch)
            self._holding.settled(before=command.epoch.board)
            await self._holding.end()
            await self._hardware.maintenance(command.msg)
            return Done()

    async def _end(self, epoch: Epoch) -> CommandReply:
        async with self._holding.turn:
            if self._holding.may_live(epoch.board):
                await self._holding.end()
            return Done()

    async def _lease(self, command: Lease) -> CommandReply:
        ends_at = self._clock.now() + command.remaining_s
        board = command.epoch.board
        self._refuse_stale(command.epoch)
        await self._advance(command.epoch)
        if self._holding.open_epoch != board:
            await self._holding.say_it_is_over(command.id, board)
            raise ActionRefused(f"request {command.id}: the session of epoch {board} is over")
        self._holding.lend(command.id, board, ends_at, command.end_rev)
        await self._holding.save()
        return Done()

    async def _healthcheck(self) -> CommandReply:
        return Checks(await self._check_health())

    # --- epochs
    def _refuse_stale(self, epoch: Epoch) -> None:
        if epoch < self.epoch:
            raise StaleEpoch(
                f"epoch {_pair(epoch)} is older than {_pair(self.epoch)}, which this board has seen"
            )

    async def _advance(self, epoch: Epoch) -> None:
        """Makes the highest pair durable before anything is done under it."""
        if self._holding.raise_epoch(epoch):
            self._answers.clear()
        await self._holding.save()

    def _log(self, level: int, what: str, **fields: object) -> None:
        event(_log, level, what, worker=self._name, **fields)

    # --- what the server answers to a registration
    async def registered(self, reply: Registered, told: EndedJob | None) -> None:
        """Goes on with the job that the server names, if it is this one; else ends the session.

        Args:
            reply: the server's answer.
            told: the ended job that the registration spoke of.
        """
        holding, theirs = self._holding, reply.job
        async with holding.turn:
            holding.was_told(told)
            if holding.raise_epoch(reply.epoch):
                self._answers.clear()
            await holding.save_if_possible()
            if theirs is not None and self._is_mine(theirs):
                ends_at = self._clock.now() + theirs.remaining_s
                holding.lend(theirs.id, theirs.epoch, ends_at, theirs.end_rev)
                await holding.save_if_possible()
                return
            waits = holding.open_epoch == reply.epoch.board and holding.untouched
            if theirs is None and waits:
                return  # prepared, and nobody has used the key
            if holding.open_epoch is not None or holding.may_live(self.epoch.board):
                self._log(logging.WARNING, "session_given_up", epoch=holding.open_epoch)
                try:
                    await holding.end()
                except (BorutaError, OSError) as error:
                    self._log(logging.ERROR, "session_alive", error=error)
                    holding.on_fault(f"a session that is no longer lent does not end: {error}")
        if theirs is not None:
            await holding.say_it_is_over(theirs.id, theirs.epoch)

    def _is_mine(self, theirs: KeptJob) -> bool:
        mine = self._holding.job
        return self._holding.open_epoch == theirs.epoch and (mine is None or mine.id == theirs.id)


def _name(command: Command) -> str:
    match command:
        case Prepare():
            return "prepare"
        case PutInMaintenance():
            return "put_in_maintenance"
        case EndSession():
            return "end_session"
        case Lease():
            return "lease"
        case Healthcheck():
            return "healthcheck"


def _pair(epoch: Epoch) -> str:
    return f"{epoch.server}.{epoch.board}"


def _seen(task: asyncio.Task[CommandReply]) -> None:
    # Nobody may be left who waits for it: its error is in the log already.
    if not task.cancelled():
        task.exception()

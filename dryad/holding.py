"""Who may use the board, and until when: one key, one job, an end by the agent's own clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from boruta.domain.commands import EndedJob, KeptJob
from boruta.domain.defaults import DEFAULT_LEASE_S
from boruta.domain.errors import BorutaError
from boruta.domain.types import Epoch, ReqID
from dryad.clock import Alarm, Clock
from dryad.lease import HeldJob, Memory, Remembered
from dryad.logs import event
from dryad.sessions.port import Sessions
from dryad.sessions.room import LOOK_EVERY_S, Room

_log = logging.getLogger("dryad.agent")

_END_AGAIN_S: Final = (1.0, 60.0)  # between tries to end a session that will not die; doubling


class Holding:
    """The session of the board and what is remembered of it.

    `turn` is held by who changes the session: one at a time. A lease only moves the end: no turn.

    Args:
        sessions: who may log in.
        memory: what outlives the process.
        clock: seconds since boot, and timers.
        boot: what names this boot of the machine.
        name: the board's, for the log.
        on_fault: called with the reason when the board should be reported FAILED.
        on_news: called when the server has to be told something by registering again.
        room: the disk that a holder may not take; None: he may.
    """

    def __init__(
        self,
        sessions: Sessions,
        memory: Memory,
        clock: Clock,
        boot: str,
        name: str | None,
        on_fault: Callable[[str], None],
        on_news: Callable[[], None],
        room: Room | None = None,
    ) -> None:
        self.on_fault = on_fault
        self.on_news = on_news
        self.turn = asyncio.Lock()
        self._sessions = sessions
        self._memory = memory
        self._clock = clock
        self._boot = boot
        self._name = name
        self._state = Remembered(boot_id=boot)
        self._saved: Remembered | None = None
        self._saving = asyncio.Lock()
        # The board epoch whose session may have living processes; None: swept.
        self._alive: int | None = 0
        self._room = room
        self._closed: tuple[int, str] | None = None  # the board epoch closed here last, and why
        self._default_lease_s = DEFAULT_LEASE_S
        self._default_end: float | None = None  # a login before the lease: counts once an epoch
        self._alarm: Alarm | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._stopped = False

    # --- what is known
    @property
    def epoch(self) -> Epoch:
        """The highest pair seen."""
        return self._state.epoch

    @property
    def open_epoch(self) -> int | None:
        """The board epoch whose key opens the board."""
        return self._state.key_epoch if self._state.key else None

    @property
    def job(self) -> KeptJob | None:
        """The job that goes on, with the seconds that are left."""
        job = self._state.job
        if job is None:
            return None
        left = max(0.0, job.ends_at - self._clock.now())
        return KeptJob(job.id, job.epoch, left, job.end_rev)

    @property
    def ended(self) -> EndedJob | None:
        """The job that the server does not know to be over."""
        return self._state.ended

    @property
    def untouched(self) -> bool:
        """Nobody has logged in under the open key, and no lease has come."""
        return self._state.job is None and self._default_end is None

    def may_live(self, board: int) -> bool:
        """A session of `board` or of an earlier epoch may have living processes."""
        return self._alive is not None and self._alive <= board

    # --- life
    async def start(self) -> str:
        """Reads the memory, listens, sweeps what an earlier life left; the SSH address.

        No session outlives the agent (its keeper dies with it), so a job that the memory speaks
        of is over: the server hears of it by a registration without one.
        """
        old = self._memory.load()
        if old.boot_id not in ("", self._boot):
            self._log(logging.INFO, "machine_was_restarted")
        if old.job is not None:
            self._log(logging.WARNING, "job_lost_by_restart", request=old.job.id)
        self._state = replace(old.closed(), boot_id=self._boot)
        address = await self._sessions.start()
        async with self.turn:
            try:
                await self.end()
            except (BorutaError, OSError) as error:
                # Every prepare tries again, and nobody gets in before one has succeeded.
                self._log(logging.ERROR, "sweep_failed", error=error)
        return address

    async def stop(self) -> None:
        """Ends the session and listens no more."""
        self._stopped = True
        self._cancel_alarm()
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._sessions.stop()

    # --- what is remembered
    def raise_epoch(self, epoch: Epoch) -> bool:
        """Whether `epoch` is a new highest pair. It counts once `save` has come back."""
        if not self._state.epoch < epoch:
            return False
        self._state = replace(self._state, epoch=epoch)
        return True

    async def save(self) -> None:
        """Makes what is known now durable.

        Raises:
            InfraError: it could not be written.
        """
        async with self._saving:
            state = self._state
            if state != self._saved:
                await self._memory.save(state)
                self._saved = state

    async def save_if_possible(self) -> None:
        """The same, where a failure must not stand in the way of ending a session."""
        try:
            await self.save()
        except BorutaError as error:
            self._log(logging.ERROR, "not_remembered", error=error)

    def settled(self, before: int) -> None:
        """The server has moved on to board epoch `before`: it knows what came earlier is over."""
        ended = self._state.ended
        if ended is not None and ended.epoch < before:
            self._state = replace(self._state, ended=None)

    def was_told(self, ended: EndedJob | None) -> None:
        """The server has answered a registration that spoke of `ended`."""
        if ended is not None and self._state.ended == ended:
            self._state = replace(self._state, ended=None)

    # --- the session; in a turn only
    async def end(self) -> None:
        """Closes the key and kills; when it returns, nothing of any holder is left.

        Raises:
            SessionAlive: something is; it is tried again until it is gone, also without an order.
        """
        self._cancel_alarm()
        self._default_end = None
        self._state = self._state.closed()
        try:
            await self._sessions.end()
        except Exception:
            if self._alive is not None and not self._ending and not self._stopped:
                self._end_by_itself(self._alive, _END_AGAIN_S[0])
            raise
        self._alive = None
        await self.save_if_possible()

    async def open(self, board: int, key: str, default_lease_s: float) -> None:
        """Lets `key` in under `board`; a login before the lease lasts `default_lease_s`."""
        self._default_lease_s = min(default_lease_s, DEFAULT_LEASE_S)
        self._alive = board
        self._state = replace(self._state, key=key, key_epoch=board)
        try:
            await self.save()
            await self._sessions.let_in(board, key, lambda: self._logged_in(board))
        except BaseException:
            self._state = self._state.closed()
            raise

    def _logged_in(self, board: int) -> None:
        if self.open_epoch != board or self._default_end is not None:
            return
        self._default_end = self._clock.now() + self._default_lease_s
        self._log(logging.INFO, "holder_logged_in", epoch=board)
        if self._state.job is None:
            self._set_alarm(self._default_end, board)
        if self._room is not None:
            self._room.remember()
            self._look_later(self._room, board)

    # --- its end
    def lend(self, req_id: ReqID, board: int, ends_at: float, end_rev: int) -> None:
        """The job ends at `ends_at`, unless a newer end is known. The caller saves."""
        old = self._state.job
        if old is not None and old.epoch == board and end_rev <= old.end_rev:
            return
        self._state = replace(self._state, job=HeldJob(req_id, board, ends_at, end_rev))
        self._set_alarm(ends_at, board)
        left = round(ends_at - self._clock.now(), 1)
        self._log(logging.INFO, "lease", request=req_id, epoch=board, left_s=left)

    async def say_it_is_over(self, req_id: ReqID, board: int) -> None:
        """The server believes in a job that nobody can do here: registering again tells it."""
        last = self._closed
        code = last[1] if last is not None and last[0] == board else "board_failed"
        old = self._state.ended
        if old is None or (old.id, old.epoch) != (req_id, board):
            self._state = replace(self._state, ended=EndedJob(req_id, board, code))
        await self.save_if_possible()
        self.on_news()

    def _log(self, level: int, what: str, **fields: object) -> None:
        event(_log, level, what, worker=self._name, **fields)

    def _set_alarm(self, when: float, board: int) -> None:
        self._cancel_alarm()
        self._alarm = self._clock.call_at(when, lambda: self._time_is_up(board))

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look_later(self, room: Room, board: int) -> None:
        when = self._clock.now() + LOOK_EVERY_S
        self._clock.call_at(when, lambda: self._look(room, board))

    def _look(self, room: Room, board: int) -> None:
        if self.open_epoch != board or self._stopped:
            return
        if why := room.taken_too_much():
            self._close(board, "over_limit", why)
        else:
            self._look_later(room, board)

    def _time_is_up(self, board: int) -> None:
        if self.open_epoch == board and not self._stopped:
            self._close(board, "time_up")

    def _close(self, board: int, code: str, why: str = "") -> None:
        job = self._state.job
        self._closed = board, code
        self._state = self._state.closed()
        if job is not None:
            self._state = replace(self._state, ended=EndedJob(job.id, board, code))
        self._log(logging.INFO, code, request=job and job.id, epoch=board, reason=why or None)
        self._end_by_itself(board, 0.0)

    def _end_by_itself(self, board: int, wait_s: float) -> None:
        task = asyncio.create_task(self._end_until_dead(board, wait_s), name="dryad ends")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end_until_dead(self, board: int, wait_s: float) -> None:
        await self.save_if_possible()
        if wait_s:
            await self._clock.sleep(wait_s)
        delay, most = _END_AGAIN_S
        while self._alive == board:  # or a newer command has ended it
            async with self.turn:
                if self._alive != board:
                    break
                try:
                    await self.end()
                    break
                except Exception as error:  # whatever it is, the holder must not keep the board
                    self._log(logging.ERROR, "session_alive", epoch=board, error=repr(error))
                    self.on_fault(f"a session outlives its job: {error}")
            await self._clock.sleep(delay)
            delay = min(most, delay * 2)
        if self._state.ended is not None:
            self.on_news()

"""An agent's connection to its server: registers, comes back by itself, hands commands on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.commands import Registered, Registration
from boruta.domain.errors import (
    ActionRefused,
    BorutaError,
    FailRefused,
    ShuttingDown,
    TimedOut,
    Unavailable,
)
from boruta.domain.types import Capabilities
from boruta.version import VERSION
from dryad.agent import Agent
from dryad.links import MakeLink, real_link
from dryad.logs import event
from transport.agent_maps import command_from, command_reply_map
from transport.remote_dryad import RemoteSuperviser
from transport.wire import SESSION_BYTES

if TYPE_CHECKING:
    from transport.client import Address, KeyPair, Link

_log = logging.getLogger("dryad.connection")

SOFTWARE: Final = f"dryad {VERSION}"
# A refusal that nobody mends does not need to be heard often; one that somebody mends is heard
# within a minute.
REFUSED_S: Final = (2.0, 60.0)
REGISTER_WITHIN_S: Final = 30.0
# The server's own clock ends a job at the same moment: usually it has settled it by then.
NEWS_AFTER_S: Final = 2.0


class Connection:
    """Keeps one agent registered with its server.

    Args:
        agent: the agent; it is listened to from now on.
        caps: with the UUID.
        ssh_address: where its SSH listens.
        servers: one or several addresses of the same farm.
        keys: the agent's own pair; None only with an insecure server.
        insecure: the server has no keys.
        on_registered: called with each answer of the server.
        make_link: for tests.
        sleep: for tests.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        caps: Capabilities,
        ssh_address: str,
        servers: Sequence[Address],
        keys: KeyPair | None,
        insecure: bool = False,
        on_registered: Callable[[Registered], None] | None = None,
        make_link: MakeLink = real_link,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._agent = agent
        self._caps = caps
        self._uuid = caps.get_worker_uuid()
        self._ssh_address = ssh_address
        self._servers = tuple(servers)
        self._keys = keys
        self._insecure = insecure
        self._on_registered = on_registered
        self._make_link = make_link
        self._sleep = sleep
        self._session = os.urandom(SESSION_BYTES)  # one process is one life
        self._link: Link | None = None
        # Set while the server's answer to the last registration has been acted upon: no command
        # is looked at before (SAFETY, A3).
        self._agreed = asyncio.Event()
        self._registering = asyncio.Lock()
        self._fault: str | None = None
        self._complaint = ""
        self._refusals = 0
        self._moving = asyncio.Lock()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        agent.listen(on_fault=self._on_fault, on_news=self._on_news)

    @property
    def registered(self) -> bool:
        """The server knows this agent, and both agree on what it holds."""
        return self._agreed.is_set()

    @property
    def standing(self) -> dict[str, object]:
        """How it is, for people: the state, the server's host, and what keeps it from better."""
        link = self._link
        up = link is not None and link.connected
        problem = self._complaint if up or not link else str(link.last_error or self._complaint)
        return {
            "link": "registered" if self.registered else "connected" if up else "not_connected",
            "server": link.server_host if link is not None and up else None,
            "problem": None if self.registered else problem or None,
        }

    def open(self) -> None:
        """Begins; it goes on by itself until `close`."""
        self._opening = asyncio.create_task(self._open(), name="dryad connect")

    async def move(
        self, servers: Sequence[Address], keys: KeyPair | None, *, insecure: bool = False
    ) -> None:
        """The server is somewhere else now; the agent's life goes on."""
        self._servers, self._keys, self._insecure = tuple(servers), keys, insecure
        await self._connect_anew()

    async def _connect_anew(self) -> None:
        async with self._moving:
            await self._drop()
            if not self._closed:
                self.open()

    async def close(self) -> None:
        """Leaves the server; idempotent."""
        self._closed = True
        async with self._moving:  # a move that is under way leaves nothing half closed
            await self._drop()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drop(self) -> None:
        self._agreed.clear()
        for task in (self._opening, self._retry):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._opening = self._retry = None
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _open(self) -> None:
        refusals, last = 0, None
        while True:
            link = self._link = self._make_link(
                self._servers,
                self._keys,
                role="worker",
                software=SOFTWARE,
                session=self._session,
                insecure=self._insecure,
                on_call=self._on_call,
                on_up=self._on_up,
                on_down=self._on_down,
                beat_body=self._beat_body,
            )
            link.last_error = last  # the same thing again is not worth another line of its log
            try:
                await link.open()
                return  # it stays up by itself from now on
            except BorutaError as error:
                self._complain("not_connected", error)
                refusals += 1
                delay = _delay(error, refusals)
                last = link.last_error
            self._link = None
            await link.close()
            await self._sleep(delay)

    # --- what the link tells
    async def _on_up(self, hello: dict[str, Any]) -> None:
        event(_log, logging.INFO, "connected", server=hello.get("server"), name=hello.get("name"))
        self._refusals = 0
        await self._register()

    def _on_down(self, error: BorutaError) -> None:
        self._agreed.clear()
        self._stop_retry()
        event(_log, logging.INFO, "disconnected", worker=self._uuid, error=error)

    async def _on_call(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._agreed.wait()
        try:
            return command_reply_map(await self._agent.handle(command_from(kind, body)))
        except ShuttingDown:
            pass
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        # The agent stops. That is no failure of the command: the server learns it from the loss
        # of this connection, which cancels what waits here, and orders anew when we come back.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets it")

    def _beat_body(self) -> dict[str, Any]:
        job = self._agent.job
        return {} if job is None else {"job": {"id": job.id, "epoch": job.epoch}}

    # --- registering
    async def _register(self) -> None:
        async with self._registering:
            link, agent = self._link, self._agent
            if link is None:
                return
            ended = agent.ended
            said = Registration(
                caps=self._caps,
                ssh_address=self._ssh_address,
                epoch=agent.epoch,
                job=agent.job,
                ended=ended,
                session=self._session,
            )
            try:
                answer = await RemoteSuperviser(link).register(said, REGISTER_WITHIN_S)
            except BorutaError as error:
                self._refused(link, error)
                return
            # Also if this connection is lost meanwhile: what was begun is brought to its end.
            await asyncio.shield(self._spawn(agent.registered(answer, ended)))
            self._complaint, self._refusals = "", 0
            self._agreed.set()
        event(
            _log,
            logging.INFO,
            "registered",
            worker=self._uuid,
            epoch=f"{answer.epoch.server}.{answer.epoch.board}",
            request=answer.job.id if answer.job else None,
        )
        if self._on_registered is not None:
            # In a context of its own: what it calls is no part of this link's greeting.
            asyncio.get_running_loop().call_soon(
                self._on_registered, answer, context=contextvars.Context()
            )
        if self._fault is not None:
            self._spawn(self._report())
        if agent.ended is not None:
            self._spawn(self._tell_what_ended())

    def _refused(self, link: Link, error: BorutaError) -> None:
        self._complain("not_registered", error)
        self._stop_retry()
        if not link.connected:
            return  # the next hello registers
        self._refusals += 1
        delay = _delay(error, self._refusals)
        # An answer that got lost may have been a yes, and a connection registers once.
        anew = isinstance(error, TimedOut | ActionRefused)
        self._retry = asyncio.create_task(self._register_later(delay, anew), name="dryad register")

    async def _register_later(self, delay: float, anew: bool) -> None:
        await self._sleep(delay)
        self._retry = None
        self._spawn(self._connect_anew() if anew else self._register())

    def _stop_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _complain(self, what: str, error: BorutaError) -> None:
        """One clear line; the same thing again is not worth another one."""
        complaint = f"{what} {error}"
        level = logging.DEBUG if self._complaint == complaint else logging.WARNING
        self._complaint = complaint
        event(_log, level, what, worker=self._uuid, code=error.code, error=error)

    # --- what the agent tells
    def _on_news(self) -> None:
        if self._agreed.is_set():
            self._spawn(self._tell_what_ended())

    async def _tell_what_ended(self) -> None:
        """A connection registers once, so this takes a new one."""
        await self._sleep(NEWS_AFTER_S)
        if self._agreed.is_set() and self._agent.ended is not None:
            self._agreed.clear()
            await self._connect_anew()

    def _on_fault(self, reason: str) -> None:
        self._fault = reason
        if self._agreed.is_set():
            self._spawn(self._report())

    async def _report(self) -> None:
        reason, link = self._fault, self._link
        if reason is None or link is None:
            return
        try:
            await RemoteSuperviser(link).set_fail(self._uuid, reason)
        except FailRefused as error:  # it is out of service already
            event(_log, logging.INFO, "fault_known", worker=self._uuid, error=error)
        except BorutaError as error:
            event(_log, logging.WARNING, "fault_not_told", worker=self._uuid, error=error)
            return  # told after the next registration
        else:
            event(_log, logging.ERROR, "fault_told", worker=self._uuid, reason=reason)
        if self._fault == reason:
            self._fault = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            if (error := task.exception()) is not None:
                _log.error("task_failed", exc_info=error)


def _delay(error: BorutaError, refusals: int) -> float:
    least, most = REFUSED_S
    if isinstance(error, Unavailable):
        told = error.details.get("retry_after_s")
        least = float(told) if isinstance(told, (int, float)) else least
        most = max(least, 10.0)
    return float(min(most, least * 2 ** min(refusals - 1, 16))) * random.uniform(0.5, 1.0)

"""The seed's Dryad interface as a Pykka actor, for harnesses that are made of actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pykka

from actors.runtime import Deferred, Future, LoopActor
from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    Healthcheck,
    Prepare,
    PutInMaintenance,
)
from boruta.domain.defaults import (
    DEFAULT_LEASE_S,
    HEALTHCHECK_WITHIN_S,
    MAINTENANCE_WITHIN_S,
    PREPARE_WITHIN_S,
)
from boruta.domain.types import Check, Epoch
from dryad.agent import Agent


class DryadActor(LoopActor):
    """An agent as an actor, on a `LoopDispatcher` of the agent's own loop.

    `ref.proxy().prepare(key)` and so on give futures. The epochs are the actor's own, each above
    what the agent has seen: it is for an agent that no server commands.

    Args:
        agent: started.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self._agent = agent
        self._tasks: set[asyncio.Task[CommandReply]] = set()

    def prepare(self, key: str) -> Deferred:
        """Ends every session, cleans up and lets `key` (an OpenSSH public key line) in."""
        return self._ask(Prepare(self._next_epoch(), key, DEFAULT_LEASE_S))

    def put_in_maintenance(self, msg: str) -> Deferred:
        """Ends every session and shows `msg` on the board."""
        return self._ask(PutInMaintenance(self._next_epoch(), msg))

    def healthcheck(self) -> Deferred:
        """Tells how the board is: a tuple of findings."""
        return self._ask(Healthcheck())

    def _next_epoch(self) -> Epoch:
        seen = self._agent.epoch
        return Epoch(seen.server, seen.board + 1)

    def _ask(self, command: Command) -> Deferred:
        answer = Future()
        task = asyncio.get_running_loop().create_task(self._agent.handle(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_settling(answer))
        return Deferred(answer)


def _settling(answer: Future) -> Callable[[asyncio.Task[CommandReply]], None]:
    def settle(task: asyncio.Task[CommandReply]) -> None:
        if task.cancelled():
            answer.cancel()
        elif (error := task.exception()) is not None:
            answer.answer_error(error)
        else:
            reply = task.result()
            answer.answer(reply.checks if isinstance(reply, Checks) else None)

    return settle


class BlockingDryad:
    """The seed's `Dryad` over a DryadActor, for other threads.

    Args:
        ref: the actor.
    """

    def __init__(self, ref: pykka.ActorRef[DryadActor]) -> None:
        self._dryad: Any = ref.proxy()

    def put_in_maintenance(self, msg: str) -> None:
        """Ends every session and shows `msg` on the board."""
        self._dryad.put_in_maintenance(msg).get(timeout=MAINTENANCE_WITHIN_S)

    def prepare(self, key: str) -> None:
        """Ends every session, cleans up and lets `key` (an OpenSSH public key line) in."""
        self._dryad.prepare(key).get(timeout=PREPARE_WITHIN_S)

    def healthcheck(self) -> tuple[Check, ...]:
        """Tells how the board is."""
        found: tuple[Check, ...] = self._dryad.healthcheck().get(timeout=HEALTHCHECK_WITHIN_S)
        return found

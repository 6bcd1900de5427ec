"""A lab for the conformance suite: an engine, boards that are fakes, and users who come in one way.

A further way in (HTTP) is one more subclass of `Way`, and one more line in `conftest.WAYS`.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import LoopDispatcher
from actors.system import System
from boruta.certificates import Certificate, write_certificate
from boruta.client import Client, connect
from boruta.domain.changes import Change
from boruta.domain.errors import BorutaError
from boruta.domain.interfaces import Requests, Workers
from boruta.domain.types import Caller, ReqID, ReqState, Role, WorkerState, WorkerUUID
from boruta.loops import LoopThread
from boruta.pairs import new_pair
from boruta.store.memory import MemoryStore
from boruta.testing import FakeAccess, FakeDryad
from boruta.wiring import session_key
from transport.server import Server

WITHIN_S = 10.0
LOOK_S = 0.05
BOARDS = Caller("boards", Role.WORKER)


@dataclass(frozen=True)
class Party:
    """One user and his way in."""

    name: str
    requests: Requests
    workers: Workers


class Way:
    """How users reach the engine."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory

    def open(self) -> None:
        """Makes the engine reachable."""

    def client(self, caller: Caller) -> Client:
        """A client with the rights of `caller`."""
        raise NotImplementedError

    def close(self) -> None:
        """Leaves nothing."""


class InProcess(Way):
    """Over the actors themselves."""

    def client(self, caller: Caller) -> Client:
        front = self.lab.front
        return Client.in_process(
            front.requests(caller, "lab.example"),
            front.workers(caller),
            self.lab.thread.loop,
            feed=front.feed(caller),
            info=front.info,
        )


class OverZeroMQ(Way):
    """Over a socket on loopback, with keys."""

    def open(self) -> None:
        self.admitted: dict[str, Caller] = {}
        self.public, secret = new_pair()

        async def serve() -> Server:
            server = Server(
                self.lab.front,
                bind="tcp://127.0.0.1:0",
                public_key=self.public,
                secret_key=secret,
                admit=self.admitted.get,
                insecure=False,
                software="conformance",
                board_networks=(),
                loop=self.lab.thread.loop,
            )
            server.start()
            return server

        self.server = self.lab.thread.call(serve)

    def client(self, caller: Caller) -> Client:
        public, secret = new_pair()
        self.admitted[public] = caller
        path = self.directory / f"{secrets.token_hex(4)}.key_secret"
        path.touch(0o600)
        path.write_text(write_certificate(Certificate(public, secret)))
        return connect(self.server.url, server_key=self.public, key=path)

    def close(self) -> None:
        self.lab.thread.call(lambda: self.server.stop(0.0))


class Lab:
    """One engine with fake boards; `wait` waits for what its changes lead to."""

    def __init__(self, way: type[Way], directory: Path, rules: Rules) -> None:
        self.thread = LoopThread(name="lab")
        self.access = FakeAccess()
        self.boards: dict[WorkerUUID, FakeDryad] = {}
        self._news = threading.Condition()
        self._heard: list[Change] = []
        self._clients: list[Client] = []
        self.thread.call(lambda: self._start(rules))
        self.way = way(self, directory)
        self.way.open()
        self.admin = self.user("root", role=Role.ADMIN)

    async def _start(self, rules: Rules) -> None:
        self.dispatcher = LoopDispatcher(self.thread.loop)
        self.system = System(
            self.dispatcher,
            MemoryStore(),
            self.access,
            session_key,
            random.Random(7).random,
            rules,
            life="lab",
        )
        self.front = EngineFront(self.system, {"software": "conformance"})
        self.system.start()
        self.front.feed(Caller("lab", Role.ADMIN)).subscribe(self._hear)

    def _hear(self, change: Change) -> None:
        with self._news:
            self._heard.append(change)
            self._news.notify_all()

    # --- users
    def user(
        self, name: str = "alice", *, role: Role = Role.USER, groups: Sequence[str] = ()
    ) -> Party:
        """A user who has just come in."""
        client = self.way.client(self.front_caller(name, role, groups))
        self._clients.append(client)
        return Party(name, client.requests, client.workers)

    @staticmethod
    def front_caller(name: str, role: Role = Role.USER, groups: Sequence[str] = ()) -> Caller:
        """Who comes in, with a session of his own."""
        return Caller(name, role, tuple(groups), secrets.token_bytes(16))

    # --- boards
    def register(self, uuid: WorkerUUID, **caps: str) -> FakeDryad:
        """A board whose agent has just registered: in MAINTENANCE."""
        board = self.boards.get(uuid)
        if board is None:
            board = FakeDryad(self.dispatcher, {"UUID": uuid, **caps})
            self.boards[uuid] = board
        agent = board

        async def register() -> None:
            superviser = self.front.superviser(BOARDS)
            agent.registered(await superviser.register(agent.registration(), agent))

        self.thread.call(register)
        return agent

    def board(self, uuid: WorkerUUID, *, groups: Sequence[str] = (), **caps: str) -> FakeDryad:
        """A board that can be lent."""
        board = self.register(uuid, **caps)
        if groups:
            self.admin.workers.set_groups(uuid, groups)
        self.admin.workers.set_state(uuid, WorkerState.IDLE)
        # What waits for such a board takes it before anyone sees it IDLE.
        ready = (WorkerState.IDLE, WorkerState.RUN)
        self.wait(lambda: self.state(uuid) in ready, f"{uuid} is ready")
        return board

    def on_loop(self, function: Callable[[], object]) -> None:
        """Calls it on the engine's thread."""

        async def call() -> None:
            function()

        self.thread.call(call)

    def cut(self, uuid: WorkerUUID) -> None:
        """The board's connection is lost."""
        self.on_loop(lambda: self.front.worker_lost(uuid, self.boards[uuid]))

    def report_failure(self, uuid: WorkerUUID, reason: str) -> None:
        """The board's agent says that it failed."""
        self.thread.call(lambda: self.front.superviser(BOARDS).set_fail(uuid, reason))

    def state(self, uuid: WorkerUUID) -> WorkerState:
        """The worker's state."""
        return self.admin.workers.get_worker_info(uuid).state

    # --- waiting
    def wait(self, true: Callable[[], bool], what: str) -> None:
        """Looks after each change, and now and then, until it is true.

        What others make of a change may come after the change was heard here.
        """
        for _ in range(round(WITHIN_S / LOOK_S)):
            heard = len(self._heard)
            if true():
                return
            with self._news:
                self._news.wait_for(partial(self._more_than, heard), LOOK_S)
        raise AssertionError(f"not in {WITHIN_S:g} s: {what}")

    def _more_than(self, heard: int) -> bool:
        return len(self._heard) > heard

    def wait_worker(self, uuid: WorkerUUID, state: WorkerState) -> None:
        """Until the worker is in this state."""
        self.wait(lambda: self.state(uuid) is state, f"{uuid} is {state}")

    def wait_request(self, req_id: ReqID, state: ReqState) -> None:
        """Until the request is in this state."""
        requests = self.admin.requests
        self.wait(lambda: requests.get_request_info(req_id).state is state, f"{req_id} is {state}")

    def close(self) -> None:
        """Leaves nothing."""
        for client in self._clients:
            client.close()
        self.way.close()
        self.on_loop(self.system.stop)
        self.thread.stop()


@contextlib.contextmanager
def refused(code: str, text: str = "") -> Iterator[list[BorutaError]]:
    """What stands inside fails with this code; the error is in the list afterwards."""
    caught: list[BorutaError] = []
    with pytest.raises(BorutaError) as info:
        yield caught
    error = info.value
    assert error.code == code, f"{error.code}: {error}"
    assert text in str(error)
    assert str(error), "an error says what was wrong"
    caught.append(error)


ANY: Mapping[str, str] = {}

"""A board for tests: a real SSH server on loopback, and the requests that lend it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh

from boruta import aio
from boruta.domain.changes import Change, Gap, RequestChanged
from boruta.domain.errors import ActionRefused, NotFoundError, TimedOut, WorkerNotAssigned
from boruta.domain.types import (
    NOBODY,
    AccessInfo,
    Capabilities,
    JobInfo,
    ListInfo,
    Prolonged,
    QueueInfo,
    ReqID,
    ReqInfo,
    ReqState,
    UserInfo,
)
from boruta.holding import Reservation

START = datetime(2030, 1, 1, tzinfo=UTC)
BOARD = "board-1"


class SshBoard:
    """An SSH server that runs shell lines as this user; sftp and forwarding too."""

    def __init__(self) -> None:
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.logins = 0
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._children: set[asyncio.subprocess.Process] = set()

    async def start(self, host_key: asyncssh.SSHKey | None = None) -> None:
        board = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self.conn = conn
                board.connections.add(conn)
                board.logins += 1

            def connection_lost(self, exc: Exception | None) -> None:
                board.connections.discard(self.conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return key == board.client_key.convert_to_public()

            def connection_requested(self, *where: Any) -> bool:
                return True

        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[host_key or self.host_key],
            process_factory=self._run,
            encoding=None,
            sftp_factory=_Sftp,
        )

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_exec(
            "sh", "-c", process.command or "true", stdin=-1, stdout=-1, stderr=-1
        )
        self._children.add(child)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        typing = asyncio.ensure_future(_pump(process.stdin, child.stdin, close=True))
        hung_up = asyncio.ensure_future(_kill_when_closed(process, child))
        try:
            await asyncio.gather(
                _pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr)
            )
            status = await child.wait()
            if status < 0:
                process.exit_with_signal({-9: "KILL", -15: "TERM"}[status])
            else:
                process.exit(status)
        except (asyncssh.Error, OSError):
            pass  # the connection broke
        finally:
            typing.cancel()
            hung_up.cancel()
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            self._children.discard(child)

    @property
    def access(self) -> AccessInfo:
        assert self._acceptor is not None
        return AccessInfo(
            host="127.0.0.1",
            port=self._acceptor.get_port(),
            username="boruta-user",
            key=self.client_key.export_private_key().decode(),
            host_keys=(self.host_key.export_public_key().decode().rsplit(" ", 0)[0].strip(),),
            expires=START + timedelta(hours=1),
        )

    def drop(self) -> None:
        """Every connection breaks."""
        for connection in tuple(self.connections):
            connection.abort()

    async def stop(self) -> None:
        self.drop()
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for child in tuple(self._children):
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


class _Sftp(asyncssh.SFTPServer):
    def map_path(self, path: bytes) -> bytes:
        # As an agent's does it, for scp -O.
        home = path == b"~" or path.startswith(b"~/")
        return super().map_path(path[2:] or b"." if home else path)

    def exit(self) -> None:
        self.channel.exit(0)  # the exit status that scp looks at


async def _kill_when_closed(
    process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process
) -> None:
    await process.channel.wait_closed()
    with contextlib.suppress(ProcessLookupError):
        child.kill()


async def _pump(source: Any, sink: Any, close: bool = False) -> None:
    with contextlib.suppress(asyncssh.Error, OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        if close:
            sink.close()


class LendingRequests:
    """`AsyncRequests` that lend one board when `lend` says so, and a feed that tells of it."""

    def __init__(self, access: AccessInfo | None = None) -> None:
        self.access = access
        self.infos: dict[ReqID, ReqInfo] = {}
        self.closed: list[ReqID] = []
        self.made: list[dict[str, Any]] = []
        self.prolonged = 0
        self.refuse_new: Exception | None = None
        self.hold_new: asyncio.Event | None = None
        self.feed_works = True
        self.delivers: list[Callable[[Change], None]] = []
        self._lent = asyncio.Event()
        self.waiting = asyncio.Event()
        if access is not None:
            self._lent.set()

    def lend(self, access: AccessInfo) -> None:
        self.access = access
        self._lent.set()

    # --- AsyncRequests
    async def new_request(
        self,
        caps: Mapping[str, str],
        priority: int,
        owner: UserInfo = NOBODY,
        valid_after: datetime | None = None,
        deadline: datetime | None = None,
        **options: Any,
    ) -> ReqID:
        if self.refuse_new is not None:
            raise self.refuse_new
        req_id = len(self.infos) + 1
        self.made.append({"caps": dict(caps), "priority": priority, "owner": owner, **options})
        self.infos[req_id] = ReqInfo(
            req_id,
            priority,
            caps=Capabilities(caps),
            bound=bool(options.get("bound")),
            queue=QueueInfo(1, why="board-1 is held by bob"),
        )
        if self.hold_new is not None:
            self.waiting.set()
            await self.hold_new.wait()
        return req_id

    async def acquire_worker(self, req_id: ReqID, timeout: float | None = None) -> AccessInfo:
        self.waiting.set()
        info = await self.get_request_info(req_id)
        if info.state.ended:
            raise WorkerNotAssigned(f"request {req_id} is {info.state}", state=info.state.value)
        try:
            async with asyncio.timeout(timeout):
                await self._lent.wait()
        except TimeoutError:
            raise TimedOut(f"request {req_id} still waits", id=req_id) from None
        assert self.access is not None
        self.infos[req_id] = replace(
            info,
            state=ReqState.INPROGRESS,
            queue=None,
            job=JobInfo(BOARD, START + timedelta(hours=1), 1),
        )
        return self.access

    async def get_request_info(self, req_id: ReqID) -> ReqInfo:
        try:
            return self.infos[req_id]
        except KeyError:
            raise NotFoundError(f"request {req_id} not found") from None

    async def close_request(self, req_id: ReqID) -> None:
        info = await self.get_request_info(req_id)
        if info.state.ended:
            raise ActionRefused(f"request {req_id} is {info.state}")
        self.closed.append(req_id)
        self.infos[req_id] = replace(info, state=ReqState.DONE, reason_code="closed")

    async def prolong_access(self, req_id: ReqID, *, token: str | None = None) -> Prolonged:
        self.prolonged += 1
        return Prolonged(START + timedelta(hours=2), 9)

    async def update_request(self, req_info: ReqInfo) -> None:
        raise NotImplementedError

    async def list_requests(self, *_: Any) -> tuple[list[ReqInfo], ListInfo]:
        return list(self.infos.values()), ListInfo(len(self.infos), 0)

    # --- the feed
    async def subscribe(
        self,
        deliver: Callable[[Change], None],
        *,
        kinds: Sequence[str] | None = None,
        requests: Sequence[ReqID] | None = None,
        workers: Sequence[str] | None = None,
    ) -> Any:
        self.delivers.append(deliver)

        class Handle:
            def close(handle) -> None:
                if deliver in self.delivers:
                    self.delivers.remove(deliver)

        return Handle()

    def end(self, req_id: ReqID, state: ReqState, code: str, reason: str) -> None:
        """The request ends from outside, and whoever watches is told."""
        info = replace(self.infos[req_id], state=state, reason_code=code, reason=reason)
        self.infos[req_id] = info
        if self.feed_works:
            for deliver in tuple(self.delivers):
                deliver(RequestChanged("1", "ended", START, info))

    def gap(self) -> None:
        """The feed lost something."""
        for deliver in tuple(self.delivers):
            deliver(Gap("2", START))


class NoWorkers:
    """`AsyncWorkers` of a farm without boards."""

    async def list_workers(self, *_: Any) -> tuple[list[Any], ListInfo]:
        return [], ListInfo(0, 0)

    def __getattr__(self, name: str) -> Any:
        async def missing(*_: Any, **__: Any) -> Any:
            raise NotFoundError("no such worker")

        return missing


Story = Callable[[Reservation, LendingRequests, SshBoard], Awaitable[None]]


def held(story: Story) -> LendingRequests:
    """Runs a story with a board that is held, and gives it back."""

    async def run() -> LendingRequests:
        board = SshBoard()
        await board.start()
        requests = LendingRequests(board.access)
        client = aio.Client(requests, NoWorkers(), feed=requests)
        try:
            async with asyncio.timeout(30), client.reserve({"arch": "arm"}) as reservation:
                await story(reservation, requests, board)
        finally:
            await client.close()
            await board.stop()
        return requests

    return asyncio.run(run())

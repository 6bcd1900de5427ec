"""`Farm` for asyncio: the farm runs on a loop of its own, and is used from yours."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from boruta.aio import Client, connect
from boruta.domain.errors import ShuttingDown
from boruta.domain.types import WorkerUUID
from boruta.opening import Opening

if TYPE_CHECKING:
    from boruta.config import ServerConfig
    from boruta.farm import Farm as BlockingFarm
    from boruta.holding import Reservation


class Farm:
    """A server in this process, loopback only by default: ``async with Farm() as farm``.

    Args:
        data: the data directory; None makes a temporary one, removed at `close`.
        bind: the ZeroMQ address.
        config: a `boruta.config.ServerConfig`, or a path of a boruta.toml.
    """

    def __init__(
        self,
        *,
        data: str | os.PathLike[str] | None = None,
        bind: str = "tcp://127.0.0.1:0",
        config: ServerConfig | str | os.PathLike[str] | None = None,
    ) -> None:
        self._options: dict[str, Any] = {"data": data, "bind": bind, "config": config}
        self._farm: BlockingFarm | None = None
        self._client: Client | None = None

    async def open(self) -> Self:
        """Starts it; `async with` does so too.

        Raises:
            BorutaError: the server could not start; the text says why.
        """
        from boruta.farm import Farm as Blocking

        if self._farm is None:
            # Starting and stopping wait for threads and processes, which a loop must not.
            self._farm = await asyncio.to_thread(lambda: Blocking(**self._options))
            self._client = await connect(data=self._farm.data)
        return self

    @property
    def farm(self) -> BlockingFarm:
        """The same farm, blocking: its actors, its subscriptions."""
        if self._farm is None:
            raise ShuttingDown("the farm is not open: use `async with Farm() as farm`")
        return self._farm

    @property
    def client(self) -> Client:
        """A client of this farm, an admin's."""
        if self._client is None:
            raise ShuttingDown("the farm is not open: use `async with Farm() as farm`")
        return self._client

    @property
    def url(self) -> str:
        """The ZeroMQ address under which clients and agents reach the farm."""
        return self.farm.url

    async def simulate(
        self, n: int = 1, *, caps: Mapping[str, str] | None = None, groups: Sequence[str] = ()
    ) -> list[WorkerUUID]:
        """Starts real agents with simulated boards; their UUIDs, once all are IDLE."""
        return await asyncio.to_thread(lambda: self.farm.simulate(n, caps=caps, groups=groups))

    def reserve(self, caps: Mapping[str, str], **options: Any) -> Opening[Reservation]:
        """A board with these capabilities; see `Client.reserve`."""
        return self.client.reserve(caps, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.client, name)

    async def close(self) -> None:
        """Ends agents, server and thread; idempotent."""
        if self._client is not None:
            await self._client.close()
        if self._farm is not None:
            await asyncio.to_thread(self._farm.close)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

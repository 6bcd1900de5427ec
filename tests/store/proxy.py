"""A wire between the server and its PostgreSQL that a test can cut, at a COMMIT too."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal

# Before it or after it; "late": the server hears it only when the test says so; "hang": the wire
# stays, and nothing is heard on it any more.
Where = Literal["before", "after", "late", "hang"]


class Proxy:
    """Passes on what comes; at the next COMMIT it cuts, if it was told to.

    Args:
        listen: the directory of its own socket.
        target: the directory of PostgreSQL's.
        port: of both sockets' names.
    """

    def __init__(self, listen: Path, target: Path, port: int) -> None:
        self._target = str(target / f".s.PGSQL.{port}")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(listen / f".s.PGSQL.{port}"))
        self._server.listen()
        self.cut_at_commit: Where | None = None
        self.cuts = 0
        self._held: list[tuple[socket.socket, bytes]] = []
        self._silent: set[socket.socket] = set()  # they do not even hear of an end
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._pairs.append((near, far))
            for one, other, asks in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._pump, args=(one, other, asks), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                where = self.cut_at_commit if asks and b"COMMIT" in data else None
                if where is not None:
                    self.cut_at_commit = None
                    self.cuts += 1
                    if where == "before":
                        break
                    if where != "hang":
                        one.shutdown(socket.SHUT_RDWR)  # the answer is not heard
                    if where == "after":
                        other.sendall(data)
                    else:
                        self._held.append((other, data))
                    if where == "hang":
                        self._silent.add(one)
                    return
                other.sendall(data)
        for end in {one, other} - self._silent:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """The server hears what was held."""
        for other, data in self._held:
            other.sendall(data)
        self._held.clear()

    def close(self) -> None:
        """Cuts everything."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for pair in self._pairs:
            for end in pair:
                end.close()

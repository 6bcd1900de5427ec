"""`/healthz` and `/readyz` over HTTP: whether this server lives, and whether it takes requests now.

For what watches servers and cannot speak ZeroMQ: load balancers, supervisors. Nothing of the farm
is told to it, and it is asked for no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as TooLate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from boruta.domain.errors import BadConfig
from boruta.version import VERSION

WITHIN_S: Final = 2.0  # a loop that takes longer to say how it is serves nobody
IDLE_S: Final = 5.0  # for a whole request to come
AT_ONCE: Final = 16  # each takes a thread; who comes beyond them is cut

NotReady = Callable[[], str]


class Probes:
    """Answers from a thread of its own, so also while the loop is held.

    Args:
        address: HOST:PORT, of this machine; an IPv6 HOST in brackets.
        not_ready: why no request is taken now, or nothing; called on the loop.

    Raises:
        BadConfig: the address cannot be listened on.
    """

    def __init__(self, address: str, not_ready: NotReady) -> None:
        host, _, port = address.rpartition(":")
        bare = host.strip("[]")
        try:
            self._server = _Server((bare, int(port)), asyncio.get_running_loop(), not_ready)
        except OSError as error:
            raise BadConfig(f"http: cannot listen on {address}: {error.strerror}") from None
        at = self._server.server_address[1]
        self.url = f"http://{host}:{at}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="boruta-http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = AT_ONCE

    def __init__(
        self, address: tuple[str, int], loop: asyncio.AbstractEventLoop, not_ready: NotReady
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._loop = loop
        self._not_ready = not_ready
        self._free = threading.Semaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def asked(self) -> tuple[bool, str]:
        """Whether the loop answers, and why nothing is taken now."""

        async def ask() -> str:
            return self._not_ready()

        asking = ask()
        try:
            return True, asyncio.run_coroutine_threadsafe(asking, self._loop).result(WITHIN_S)
        except TooLate:
            return False, f"the loop has not answered for {WITHIN_S:g} s"
        except RuntimeError:  # it is closed
            asking.close()
            return False, "stopping"

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if one is free."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up while he is answered is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = f"boruta/{VERSION}", ""
    timeout = IDLE_S
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(message)s\n"

    def do_GET(self) -> None:
        """A question."""
        path = self.path.partition("?")[0]
        if path not in ("/healthz", "/readyz"):
            self._say(HTTPStatus.NOT_FOUND, "there are /healthz and /readyz")
            return
        alive, why = self.server.asked()
        if not alive or (why and path == "/readyz"):
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, why)
        else:
            self._say(HTTPStatus.OK, "ok" if path == "/healthz" else "ready")

    do_HEAD = do_GET

    def _say(self, status: HTTPStatus, text: str) -> None:
        body = f"{text}\n".encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Who asks every second needs no line each time."""

"""A client of protocol 1 with pyzmq and msgpack alone: nothing of Boruta is imported.

usage: python raw_client.py DATA [CAP=VALUE ...]

DATA is the server's data directory on this machine (it has the address and an admin's key). The
client asks for a board, prints how to reach it, and gives it back.
"""

import json
import os
import secrets
import sys
import time
from pathlib import Path

import msgpack
import zmq
import zmq.auth

HELLO_S = 5.0  # the server cuts who has not said hello by then; so long we wait for its answer
SILENT_S = 7.0  # a server that says nothing for so long is gone
ASLEEP_S = 1.0  # whoever did not look for so long counts silence anew
TRIES = 5
# What may be sent again when a connection was lost: it has the same effect once or many times.
# `requests.new` and `requests.prolong` are among them because they carry a token.
AGAIN = {"requests.new", "requests.prolong", "requests.get", "requests.acquire", "requests.close"}


class ServerError(Exception):
    """The server refused. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str, details: dict | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.details = details or {}


class ConnectionLost(Exception):
    """Nobody knows whether the call that was under way had its effect."""


class Connection:
    """One DEALER, from connect to loss: numbers calls, finds their replies, gives signs of life."""

    def __init__(self, context: zmq.Context, url: str, server_key: bytes, keys: tuple) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)  # a lost connection is a new Connection
        self.socket.setsockopt(zmq.MAXMSGSIZE, 1 << 20)
        self.socket.curve_serverkey = server_key
        self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.connect(url)
        self.last = 0
        self.beat_s = 3.0  # `hello` tells
        self.notices: list[dict] = []
        self.looked = self.heard = self.beaten = now()

    def call(self, kind: str, within_s: float | None = 10.0, **body: object) -> dict:
        """Calls and waits for the reply. None waits as long as the server lives."""
        self.last += 1
        self._send({"v": 1, "id": self.last, "type": kind, "body": body})
        until = None if within_s is None else now() + within_s
        while until is None or now() < until:
            message = self._receive()
            if message is None:
                continue
            if message.get("type") == "goodbye":
                raise ConnectionLost(message["body"]["reason"])
            if "re" not in message:
                self.notices.append(message)  # heartbeat, event, event_gap
            elif message["re"] == self.last:
                if "error" in message:
                    raise ServerError(**message["error"])
                return message["body"]
        raise ConnectionLost(f"no answer to {kind} in {within_s:g} s")

    def _receive(self) -> dict | None:
        """What came in the next moment, if anything. Beats, and notices a silent server."""
        at = now()
        if at - self.looked > ASLEEP_S:
            self.heard = at  # it was we who stood still
        self.looked = at
        if at - self.heard > SILENT_S:
            raise ConnectionLost(f"the server has said nothing for {SILENT_S:g} s")
        if at - self.beaten >= self.beat_s:
            self._send({"v": 1, "type": "heartbeat", "body": {}})  # the server sends it back
            self.beaten = at
        if not self.socket.poll(200):
            return None
        self.heard = now()
        return msgpack.unpackb(self.socket.recv(), timestamp=3)  # times as aware datetimes

    def _send(self, message: dict) -> None:
        try:
            # Not blocking: a socket whose connection is gone would block for ever.
            self.socket.send(msgpack.packb(message, datetime=True), zmq.NOBLOCK)
        except zmq.Again:
            raise ConnectionLost("the connection is gone") from None


class Client:
    """Keeps its session over any number of connections, so that bound requests survive a loss."""

    def __init__(self, url: str, server_key: bytes, keys: tuple) -> None:
        self.context = zmq.Context()
        self.where = (url, server_key, keys)
        self.session = os.urandom(16)
        self.connection: Connection | None = None
        self.kept = False  # after a loss: whether the server still knew our session

    def call(self, kind: str, within_s: float | None = 10.0, **body: object) -> dict:
        """Calls; what may be sent again is sent again after a loss."""
        for tried in range(1, TRIES + 1):
            try:
                return self._connected().call(kind, within_s, **body)
            except ConnectionLost:
                greeted = self.connection is not None
                self.drop()
                if tried == TRIES or (greeted and kind not in AGAIN):
                    raise
                time.sleep(secrets.SystemRandom().uniform(0.1, 0.2) * 2**tried)
        raise AssertionError("not reached")

    def _connected(self) -> Connection:
        if self.connection is None:
            fresh = Connection(self.context, *self.where)
            try:
                hello = fresh.call(
                    "hello",
                    HELLO_S,
                    role="user",
                    protocols=[1],
                    software="raw example",
                    session=self.session,
                )
            except ConnectionLost as error:
                fresh.socket.close(0)
                text = f"no server at {self.where[0]}, or it does not admit this key"
                raise ConnectionLost(text) from error
            except BaseException:
                fresh.socket.close(0)
                raise
            fresh.beat_s, self.kept = hello["heartbeat_s"], hello["session_kept"]
            self.connection = fresh
        return self.connection

    def drop(self) -> None:
        """Leaves the connection; the next call makes a new one."""
        if self.connection is not None:
            self.connection.socket.close(0)
            self.connection = None

    def close(self) -> None:
        """Leaves nothing behind. Bound requests end with the lease of their session."""
        self.drop()
        self.context.term()


def now() -> float:
    """Seconds on a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def found(data: Path) -> tuple[str, bytes, tuple]:
    """Address and key of the server on this machine, and the pair of whoever may read DATA."""
    server = json.loads((data / "server.json").read_text())
    keys = zmq.auth.load_certificate(data / "keys" / "local.key_secret")
    return server["url"], server["server_key"].encode(), keys


def main() -> int:
    """Asks for a board, shows it, gives it back."""
    caps = dict(word.split("=", 1) for word in sys.argv[2:])
    client = Client(*found(Path(sys.argv[1])))
    try:
        token = secrets.token_hex(16)  # the same token makes one request, however often it is sent
        request = client.call(
            "requests.new", caps=caps, priority=8, bound=True, token=token, unservable="refuse"
        )["id"]
        try:
            access = client.call("requests.acquire", None, id=request, timeout_s=20.0)["access"]
            print("request", request, "holds", access["username"], access["host"], access["port"])
        finally:
            client.call("requests.close", id=request)
        print("closed:", client.call("requests.get", id=request)["request"]["state"])
        return 0
    except (ServerError, ConnectionLost) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        client.close()


if __name__ == "__main__":
    sys.exit(main())

"""A client of protocol 1 with pyzmq and msgpack alone: nothing of Boruta is imported.

usage: python raw_client.py DATA [CAP=VALUE ...]

DATA is the server's data directory on this machine (it has the address and an admin's key). The
client asks for a board, prints how to reach it, and gives it back.
"""

import json
import os
import sys
from pathlib import Path

import msgpack
import zmq
import zmq.auth


class Connection:
    """One DEALER to the server: calls go out with rising ids, replies are matched by id."""

    def __init__(self, url: str, server_key: bytes, public: bytes, secret: bytes) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)  # a lost connection is a new Connection
        self.socket.curve_serverkey = server_key
        self.socket.curve_publickey = public
        self.socket.curve_secretkey = secret
        self.socket.connect(url)
        self.last = 0
        self.events: list[dict] = []

    def call(self, kind: str, timeout_s: float = 30.0, **body: object) -> dict:
        """Calls and waits for the reply; beats while it waits."""
        self.last += 1
        self._send({"v": 1, "id": self.last, "type": kind, "body": body})
        waited = 0.0
        while waited < timeout_s:
            if not self.socket.poll(3000):
                waited += 3.0
                self._send({"v": 1, "type": "heartbeat", "body": {}})
                continue
            message = msgpack.unpackb(self.socket.recv(), timestamp=3)
            if message.get("re") == self.last:
                if "error" in message:
                    raise SystemExit("{code}: {message}".format(**message["error"]))
                return message["body"]
            self.events.append(message)  # a notice: heartbeat, event, goodbye
        raise SystemExit(f"no answer to {kind} in {timeout_s:g} s")

    def _send(self, message: dict) -> None:
        self.socket.send(msgpack.packb(message, datetime=True))

    def close(self) -> None:
        """Leaves nothing behind."""
        self.socket.close(0)
        self.context.term()


def main() -> None:
    """Asks for a board, shows it, gives it back."""
    data = Path(sys.argv[1])
    caps = dict(word.split("=", 1) for word in sys.argv[2:])
    server = json.loads((data / "server.json").read_text())
    public, secret = zmq.auth.load_certificate(data / "keys" / "local.key_secret")
    connection = Connection(server["url"], server["server_key"].encode(), public, secret)
    try:
        hello = connection.call(
            "hello", role="user", protocols=[1], software="raw example", session=os.urandom(16)
        )
        print("connected to", hello["server"], "as", hello["name"])
        request = connection.call("requests.new", caps=caps, priority=8, bound=True)["id"]
        access = connection.call("requests.acquire", id=request, timeout_s=20.0)["access"]
        print("request", request, "holds", access["username"], access["host"], access["port"])
        connection.call("requests.close", id=request)
        print("closed:", connection.call("requests.get", id=request)["request"]["state"])
    finally:
        connection.close()


if __name__ == "__main__":
    main()

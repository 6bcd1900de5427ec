"""The `board` command: the hardware of this board, for whoever holds it.

Stands alone, with the standard library of any Python 3: an agent copies it to where holders' shells
find it.
"""

from __future__ import annotations

import glob
import json
import os
import select
import socket
import sys
import termios
import tty

SOCKETS = "/run/dryad/*/board.sock"  # where an agent that runs as root has them
ENDS = b"\x1d"  # Ctrl-]
OPENED = "[open]\n"  # on stderr: from here on all that the target says is passed on
UNREACHABLE = 9


def main(argv: list[str] | None = None) -> int:
    """Asks the agent; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        words = ["help"]
    try:
        with _connect() as connection:
            connection.sendall(json.dumps({"words": words}).encode() + b"\n")
            answer, rest = _head(connection)
            sys.stdout.write(answer.get("out", ""))
            if "error" in answer:
                sys.stderr.write("board: {error}   [{code}]\n".format(**answer))
                return int(answer["status"])
            if "stream" not in answer:
                return 0
            typing = answer["stream"] == "console"
            return _stream(connection, rest, typing, opened="attached" in answer)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains at its end
        return 141
    except (OSError, ValueError) as error:
        sys.stderr.write(f"board: no answer from this board's agent: {error}   [unreachable]\n")
        return UNREACHABLE


def _connect() -> socket.socket:
    path = os.environ.get("BOARD_SOCKET", "")
    if not path:
        found = sorted(glob.glob(SOCKETS))
        if len(found) != 1:
            raise OSError(f"BOARD_SOCKET is not set, and there are {len(found)} of {SOCKETS}")
        path = found[0]
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise OSError(f"{path}: {error.strerror}") from None
    return connection


def _head(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    data = b""
    while b"\n" not in data:
        more = connection.recv(1 << 16)
        if not more:
            raise OSError("it hung up")
        data += more
    line, _, rest = data.partition(b"\n")
    return json.loads(line), rest


def _stream(connection: socket.socket, first: bytes, typing: bool, opened: bool) -> int:
    """Copies both ways until one end closes; of a terminal until Ctrl-] too."""
    _say(first)
    watched = [connection.fileno(), 0] if typing else [connection.fileno()]
    old = termios.tcgetattr(0) if typing and os.isatty(0) else None
    try:
        if old is not None:
            sys.stderr.write("[console; Ctrl-] ends]\r\n")
            sys.stderr.flush()
            tty.setraw(0)
        elif opened:
            sys.stderr.write(OPENED)
            sys.stderr.flush()
        while True:
            ready = select.select(watched, [], [])[0]
            if connection.fileno() in ready:
                data = connection.recv(1 << 16)
                if not data:
                    return 0
                _say(data)
            if 0 in ready:
                data = os.read(0, 4096)
                if old is not None and ENDS in data:
                    return 0
                if data:
                    connection.sendall(data)
                else:
                    watched.remove(0)  # what the target says is still of interest
    finally:
        if old is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, old)
            sys.stderr.write("\r\n")


def _say(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())

"""A harness made of actors: its own Pykka actor is told of every change of a request.

usage: python watcher.py
"""

import threading

import pykka

from boruta import Farm
from boruta.domain.changes import Gap, RequestChanged


class Watcher(pykka.ThreadingActor):
    """Writes down what happens to requests, and says when one has ended."""

    def __init__(self, ended: threading.Event) -> None:
        super().__init__()
        self.ended = ended

    def on_receive(self, message: object) -> None:
        """Hears RequestChanged, WorkerChanged or Gap."""
        if isinstance(message, RequestChanged):
            request = message.request
            print(f"request {request.id}: {message.kind}, {request.state}", flush=True)
            if request.state.ended:
                self.ended.set()
        elif isinstance(message, Gap):
            print("some changes were lost; the lists have the truth")


def main() -> None:
    """Lends one board and watches."""
    ended = threading.Event()
    watcher = Watcher.start(ended)
    try:
        with Farm() as farm:
            farm.simulate(1, caps={"arch": "x86_64"})
            farm.subscribe(watcher)
            with farm.reserve({"arch": "x86_64"}, timeout=30) as board:
                print(board.run("uname -s").stdout, end="")
            ended.wait(10)
    finally:
        watcher.stop()


if __name__ == "__main__":
    main()

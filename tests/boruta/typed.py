"""`boruta ...` typed in this process, against a farm in this process: fast, and all of it ours."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boruta import Farm
from boruta.cli.main import _status


@dataclass(frozen=True)
class Typed:
    """What came of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout, which is one JSON value."""
        return json.loads(self.out)


def typed(*words: str) -> Typed:
    """Runs `boruta words...`; its streams are no terminals."""
    out, err = _stream(), _stream()
    before, sys.stdin = sys.stdin, None  # type: ignore[assignment]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = _status(words)
            out.flush()
            err.flush()
    except SystemExit as done:
        status = int(done.code or 0)
    finally:
        sys.stdin = before
    return Typed(status, _text(out), _text(err))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


class Lab:
    """A farm with boards, and its command line."""

    def __init__(self, farm: Farm, boards: list[str]) -> None:
        self.farm = farm
        self.boards = boards

    def __call__(self, *words: str) -> Typed:
        """Runs `boruta words...` as the farm's admin."""
        assert self.farm.data is not None
        return typed("--data", str(self.farm.data), *words)

    def as_user(self, name: str, *words: str) -> Typed:
        """Runs it with the key of a user."""
        assert self.farm.data is not None
        key = Path(self.farm.data) / "made" / f"{name}.key_secret"
        if not key.exists():
            made = self("key", "new", name, "--role", "user", "--out", str(key.parent))
            assert made.status == 0, made.err
            # A running server looks at its keys now and then.
            end = time.monotonic() + 10
            while self("--key", str(key), "who").status == 4 and time.monotonic() < end:
                continue
        return self("--key", str(key), *words)

    def held(self, *words: str) -> str:
        """The id of a request that holds a board."""
        done = self("request", "-c", "arch=armv7l", "--wait", "20", *words)
        assert done.status == 0, done.err
        return done.out.strip()

    def closed(self) -> None:
        """Ends every request."""
        live = self("requests", "-o", "id").out.split()
        if live:
            self("close", *live)


@contextmanager
def lab(boards: int = 1) -> Iterator[Lab]:
    """A farm with boards that are IDLE."""
    with Farm() as farm:
        yield Lab(farm, farm.simulate(boards, caps={"arch": "armv7l"}))

"""What an agent must not forget: the highest epochs, the key, the job and its end (SAFETY, A3)."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from boruta.domain.commands import EndedJob
from boruta.domain.errors import InfraError
from boruta.domain.types import NO_EPOCH, Epoch, ReqID
from dryad.files import put
from dryad.logs import event

_log = logging.getLogger("dryad.lease")


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job on this board. `ends_at` is on CLOCK_BOOTTIME, in seconds."""

    id: ReqID
    epoch: int
    ends_at: float
    end_rev: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything that outlives the process.

    `epoch` is the highest pair seen; `key` the public key line that may open the board, let in
    under the board epoch `key_epoch`; `ended` what the server has not been told yet.
    """

    boot_id: str = ""
    epoch: Epoch = NO_EPOCH
    key: str = ""
    key_epoch: int = 0
    job: HeldJob | None = None
    ended: EndedJob | None = None

    def closed(self) -> Remembered:
        """The same, with no key and no job."""
        return replace(self, key="", key_epoch=0, job=None)


class Memory(Protocol):
    """Where it is kept."""

    def load(self) -> Remembered:
        """What was saved last; nothing known where it cannot be read."""
        ...

    async def save(self, what: Remembered) -> None:
        """Comes back once it would survive a power cut.

        Raises:
            InfraError: it could not be written.
        """
        ...


class LeaseFile:
    """One small JSON file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A save whose caller gave up still runs in its thread; the next one waits for it.
        self._writing = threading.Lock()

    def load(self) -> Remembered:
        """What was saved last. A damaged file is nothing known, and a line in the log."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Remembered()
        except (OSError, UnicodeDecodeError) as error:
            return self._damaged(error)
        try:
            return _read(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return self._damaged(error)

    def _damaged(self, error: Exception) -> Remembered:
        event(_log, logging.WARNING, "lease_file_damaged", file=self._path, error=repr(error))
        return Remembered()

    async def save(self, what: Remembered) -> None:
        """Writes it, off the loop: a slow card must not silence the agent."""
        try:
            fields = {**asdict(what), "epoch": what.epoch._asdict()}
            await asyncio.to_thread(self._write, json.dumps(fields))
        except OSError as error:
            raise InfraError(f"{self._path}: cannot be written: {error}") from error

    def _write(self, text: str) -> None:
        with self._writing:
            put(self._path, text, 0o600)


def _read(found: dict[str, Any]) -> Remembered:
    job, ended = found["job"], found["ended"]
    return Remembered(
        boot_id=_text(found["boot_id"]),
        epoch=Epoch(_whole(found["epoch"]["server"]), _whole(found["epoch"]["board"])),
        key=_text(found["key"]),
        key_epoch=_whole(found["key_epoch"]),
        job=None
        if job is None
        else HeldJob(
            _whole(job["id"]), _whole(job["epoch"]), float(job["ends_at"]), _whole(job["end_rev"])
        ),
        ended=None
        if ended is None
        else EndedJob(_whole(ended["id"]), _whole(ended["epoch"]), _text(ended["reason_code"])),
    )


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"want a whole number, got {value!r:.40}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"want text, got {value!r:.40}")
    return value

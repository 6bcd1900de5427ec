"""How a `run` went: its exit status, and what `--result` writes. CI tells outcomes apart by it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from boruta.cli.entry import BROKEN_PIPE
from boruta.cli.talk import tell
from boruta.domain.errors import BorutaError, InfraError, UsageError
from boruta.domain.types import ReqInfo, ReqState

NEVER_RAN: Final = 122
TIME_UP: Final = 124
INFRA: Final = 125


@dataclass(slots=True)
class Result:
    """What `--result` writes."""

    outcome: str = "never_ran"
    status: int = NEVER_RAN
    reason: str = ""
    request: int | None = None
    worker: str | None = None

    def end(self, outcome: str, status: int, reason: str = "") -> None:
        """How it went."""
        self.outcome, self.status, self.reason = outcome, status, reason

    def started(self) -> None:
        """From here on CMD may have begun: what goes wrong now is not "never ran"."""
        self.end("infra", INFRA)

    def exited(self, code: int) -> None:
        """CMD's own end; a negative code is a signal's number."""
        self.end("exited", shell_status(code))

    def write(self, path: str) -> None:
        """Writes it as JSON.

        Raises:
            UsageError: it cannot be written there.
        """
        try:
            Path(path).write_text(json.dumps(asdict(self)) + "\n")
        except OSError as error:
            raise UsageError(f"--result: {path!r}: {error.strerror}") from None


def not_served(result: Result, info: ReqInfo) -> None:
    """It waited, and ended without a board; or its time was over before it was looked at."""
    reason = f"request {info.id} is {info.state.value}: {info.reason}"
    tell(f"boruta: {reason}   [{info.reason_code}]")
    if info.reason_code == "time_up":
        result.end("time_up", TIME_UP, reason)
    elif info.state is ReqState.FAILED:
        result.end("infra", INFRA, reason)
    else:
        result.end("never_ran", NEVER_RAN, reason)


def failed(result: Result, error: BorutaError) -> None:
    """It ended by an error; what CMD said itself stands."""
    code = error.code
    if isinstance(error, UsageError):
        result.end("never_ran", error.exit_status, error.message)
    elif error.details.get("reason_code") == "time_up":
        code = "time_up"
        result.end("time_up", TIME_UP, error.message)
    elif result.outcome == "never_ran" and not isinstance(error, InfraError):
        result.end("never_ran", NEVER_RAN, error.message)
    else:
        result.end("infra", INFRA, error.message)
    tell(f"boruta: {error.message}   [{code}]")


def local_fault(result: Result, error: OSError) -> None:
    """Something on this machine: a file that cannot be read, an output that nobody takes."""
    if isinstance(error, BrokenPipeError):
        result.end("interrupted", BROKEN_PIPE, "nobody reads the output any more")
        return
    named = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    text = f"on this machine: {named}{error.strerror or error}"
    tell(f"boruta: {text}   [internal]")
    if result.outcome == "never_ran":
        result.end("never_ran", NEVER_RAN, text)
    else:
        result.end("infra", INFRA, text)


def shell_status(code: int) -> int:
    """A command's code as a shell tells it: a negative one is a signal's number."""
    return 128 - code if code < 0 else code

"""What a look at one precondition of an agent brings: whether it holds, and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boruta.domain.errors import BorutaError

State = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One precondition.

    Attributes:
        name: what was looked at.
        state: whether it holds; a warning does not keep an agent from running.
        detail: what was found.
        hint: what to do about it; empty if all is well.
    """

    name: str
    state: State
    detail: str
    hint: str = ""


def judged(name: str, good: bool, detail: str, hint: str, bad: State = "FAIL") -> Finding:
    """A finding that is well or not; the hint is only for one that is not."""
    return Finding(name, "ok", detail) if good else Finding(name, bad, detail, hint)


def ask(name: str, question: Callable[[], str], hint: str) -> Finding:
    """What a question answers; an error of ours is a precondition that does not hold."""
    try:
        return Finding(name, "ok", question())
    except BorutaError as error:
        return Finding(name, "FAIL", error.message, hint)


def nearest(path: Path) -> Path:
    """The path, or the first of its parents that this user can see."""
    return next((one for one in (path, *path.parents) if os.path.exists(one)), Path("/"))

"""The stable codes of errors, as they go over the wire, and the way back to an error."""

from __future__ import annotations

from typing import Final

from boruta.domain.errors import (
    ActionRefused,
    BadFrame,
    BadRequest,
    BoardLost,
    BorutaError,
    InternalLogicError,
    Unreachable,
)


def _leaves(kind: type[BorutaError]) -> list[type[BorutaError]]:
    found = [kind]
    for sub in kind.__subclasses__():
        found += _leaves(sub)
    return found


def _by_code() -> dict[str, type[BorutaError]]:
    # A code that several classes share means the most specific one that stands for it alone.
    table: dict[str, type[BorutaError]] = {}
    for kind in _leaves(BorutaError):
        if "code" in kind.__dict__ or kind.code not in table:
            table[kind.code] = kind
    table.update(
        bad_request=BadRequest,
        action_refused=ActionRefused,
        board_lost=BoardLost,
        unreachable=Unreachable,
        bad_frame=BadFrame,
        internal=InternalLogicError,
    )
    return table


ERRORS: Final[dict[str, type[BorutaError]]] = _by_code()
CODES: Final[frozenset[str]] = frozenset(ERRORS)


def error_from(code: str, message: str, details: dict[str, object] | None = None) -> BorutaError:
    """The error that a peer's code stands for; an unknown code is an InternalLogicError.

    Args:
        code: a stable code, e.g. ``not_found``.
        message: the text for people.
        details: plain values, kept as they are.
    """
    kind = ERRORS.get(code, InternalLogicError)
    safe = {str(key): value for key, value in (details or {}).items()}
    return kind(message, **safe)

"""How large a map of capabilities may be, and what nobody can have in it."""

from __future__ import annotations

from collections.abc import Mapping

from boruta.domain import defaults
from boruta.domain.errors import BadCaps, BadRequest, CapsMissingUUID, TooLarge
from boruta.domain.texts import check_printable
from boruta.domain.types import UUID_CAP, Capabilities


def check_caps_limits(caps: Mapping[str, str]) -> None:
    """Refuses a caps map that is too large or that nobody could show, of a request or a worker.

    Raises:
        TooLarge: too many entries, or a key or value over its limit.
        BadRequest: a key or value is no string.
        BadCaps: a key or value has control characters.
    """
    if len(caps) > defaults.CAPS_ENTRIES:
        raise TooLarge(f"caps: {len(caps)} entries (at most {defaults.CAPS_ENTRIES})")
    for key, value in caps.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise BadRequest(f"caps: {key!r}: {value!r} (want a string for each key)"[:200])
        size = len(key.encode("utf-8", "surrogatepass"))
        if size > defaults.CAP_KEY_BYTES:
            raise TooLarge(
                f"caps: the key {key[:40]!r}... has {size} bytes (at most {defaults.CAP_KEY_BYTES})"
            )
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > defaults.CAP_VALUE_BYTES:
            raise TooLarge(
                f"caps: the value of {key!r} has {size} bytes (at most {defaults.CAP_VALUE_BYTES})"
            )
        try:
            check_printable("caps: a key", key, allowed="")
            check_printable(f"caps: the value of {key!r}", value, allowed="")
        except BadRequest as error:
            raise BadCaps(error.message) from None


def check_worker_caps(caps: Capabilities) -> None:
    """Refuses what no worker can have: see `check_caps_limits`; and a UUID that names nothing.

    People and scripts pass a UUID on as one word of a command line.

    Raises:
        CapsMissingUUID: it is missing or empty.
        BadCaps: it has blanks, or looks like an option.
    """
    check_caps_limits(caps)
    uuid = caps.get_worker_uuid()
    if not uuid:
        raise CapsMissingUUID(f"caps: the entry {UUID_CAP!r} is empty")
    if uuid.startswith("-") or any(char.isspace() for char in uuid) or not uuid.isprintable():
        raise BadCaps(
            f"caps: {UUID_CAP} {uuid!r:.80} is no name (want printable text without blanks that "
            "does not begin with '-')"
        )

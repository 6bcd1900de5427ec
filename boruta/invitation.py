"""What a board has to know of its server, as one word: `boruta key invite`, `dryad enroll`.

Nothing in it is secret: the board makes its own pair, and only an admin admits the public half.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final, NamedTuple

from boruta.certificates import is_z85_key
from boruta.domain.errors import BadRequest

_MARK: Final = "boruta1."
_SUM_BYTES: Final = 6  # a word that was cut or mistyped must not become another key
_MOST: Final = 4096


class Invitation(NamedTuple):
    """`servers` has addresses of one farm; `server_key` is 40 characters of Z85."""

    name: str
    servers: tuple[str, ...]
    server_key: str


def write(invitation: Invitation) -> str:
    """The word."""
    name, servers, key = invitation
    body = json.dumps([name, list(servers), key], separators=(",", ":")).encode()
    return _MARK + base64.urlsafe_b64encode(_sum(body) + body).decode().rstrip("=")


def read(word: str) -> Invitation:
    """What the word says.

    Raises:
        BadRequest: it is none, or not whole.
    """
    bare = word.strip()
    if not bare.startswith(_MARK) or len(bare) > _MOST:
        raise BadRequest(f"no invitation: want a word that begins with {_MARK}")
    raw = bare.removeprefix(_MARK)
    try:
        found = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        said, body = found[:_SUM_BYTES], found[_SUM_BYTES:]
        if said != _sum(body):
            raise ValueError
        name, servers, key = json.loads(body)
        made = Invitation(name, tuple(servers), key)
        if not (servers and all(isinstance(one, str) for one in (name, key, *servers))):
            raise ValueError
    except (ValueError, TypeError):
        raise BadRequest("the invitation is not as it was made; copy the whole word") from None
    if not is_z85_key(key):
        raise BadRequest("the invitation's server key is not 40 characters of Z85")
    return made


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_SUM_BYTES]

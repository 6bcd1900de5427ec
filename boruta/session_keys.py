"""Keys of sessions: ed25519, one for each epoch of a board, as OpenSSH writes them."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Final


def _text(value: bytes) -> bytes:
    """A string of the SSH protocol."""
    return len(value).to_bytes(4) + value


_KIND: Final = _text(b"ssh-ed25519")
# What a private key file says before its keys: not encrypted, one key (PROTOCOL.key of OpenSSH).
_HEAD: Final = b"openssh-key-v1\0" + _text(b"none") + _text(b"none") + _text(b"") + b"\0\0\0\1"
_BLOCK: Final = 8  # what is secret is filled up to a multiple of it, with 1, 2, 3, ...
_LINE: Final = 70


def session_key() -> tuple[str, str]:
    """A new session key: (private OpenSSH text, public key line).

    Written out here: cryptography's own writer takes longer than making the key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return openssh(key.private_bytes_raw(), key.public_key().public_bytes_raw())


def openssh(seed: bytes, public: bytes) -> tuple[str, str]:
    """Private OpenSSH text and public key line of a key's 32 and 32 bytes."""
    said = _KIND + _text(public)
    check = os.urandom(4)
    secret = check + check + said + _text(seed + public) + _text(b"")
    secret += bytes(range(1, 1 + -len(secret) % _BLOCK))
    whole = b64encode(_HEAD + _text(said) + _text(secret)).decode()
    lines = "\n".join(whole[at : at + _LINE] for at in range(0, len(whole), _LINE))
    return (
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n",
        f"ssh-ed25519 {b64encode(said).decode()}",
    )

"""SSH keys as text: the agent's host key and the holder's line, without an SSH library."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

from boruta.domain.errors import BadConfig, BadRequest
from dryad.files import put

_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)


def public_blob(line: str) -> bytes:
    """The key that an OpenSSH public key line stands for, as it goes over the wire.

    Raises:
        BadRequest: it is no such line.
    """
    words = line.split(None, 2)
    try:
        if len(words) < 2 or words[0] not in _KINDS:
            raise ValueError(f"want one of {', '.join(_KINDS)}, then base64")
        blob = base64.b64decode(words[1], validate=True)
        kind, _ = _string(blob)
        if kind.decode("ascii") != words[0]:
            raise ValueError("the base64 is of another type")
    except (ValueError, struct.error) as error:  # binascii's error is a ValueError
        raise BadRequest(f"key: no OpenSSH public key line: {error}") from error
    return blob


def public_line(path: Path) -> str:
    """The public half of an OpenSSH private key file, as type and base64.

    The format holds it in clear, so an idle agent need not load asyncssh for it (18 MB).

    Raises:
        BadConfig: it is no such file, or others can read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise BadConfig(f"{path}: others can read this host key (want mode 0600)")
        text = path.read_text("ascii").strip()
        if not (text.startswith(_BEGIN) and text.endswith(_END)):
            raise ValueError("not an OpenSSH private key")
        data = base64.b64decode("".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
        if not data.startswith(_MAGIC):
            raise ValueError("not an OpenSSH private key")
        rest = data[len(_MAGIC) :]
        for _ in range(3):  # cipher, key derivation and its options
            _, rest = _string(rest)
        public, _ = _string(rest[4:])  # behind the number of keys
        kind, _ = _string(public)
        return f"{kind.decode('ascii')} {base64.b64encode(public).decode()}"
    except (OSError, ValueError, struct.error) as error:
        raise BadConfig(f"{path}: cannot use this host key: {error}") from error


def make(path: Path) -> None:
    """Makes an ed25519 key; blocks, and loads cryptography."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    put(path, text, 0o600)  # a torn key would keep the agent from starting


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", data)
    if len(data) < 4 + length:
        raise ValueError("it is cut off")
    return data[4 : 4 + length], data[4 + length :]

"""Key pairs in files: a peer's own, and those that a server makes for itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from boruta.certificates import Certificate, is_z85_key, read_certificate, write_certificate
from boruta.domain.errors import BadConfig, NotPermitted
from boruta.guarded import check_private, write_private

if TYPE_CHECKING:
    from transport.client import KeyPair

STORE_KEY_BYTES: Final = 32  # as AES-256 wants them


def new_pair() -> tuple[str, str]:
    """A new CURVE pair: (public, secret), Z85."""
    import zmq

    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def load_pair(path: str | os.PathLike[str]) -> KeyPair:
    """The pair in a `NAME.key_secret` file.

    Raises:
        BadConfig: there is none.
        NotPermitted: others can read or write the file.
    """
    import zmq

    from transport.client import KeyPair

    place = Path(path).expanduser()
    try:
        check_private(place, "key file")
        certificate = read_certificate(place)
    except PermissionError as error:
        raise NotPermitted(f"{place}: cannot be read: {error.strerror}", path=str(place)) from None
    except OSError as error:
        raise BadConfig(f"{place}: cannot be read: {error.strerror}", path=str(place)) from None
    except ValueError as error:
        raise BadConfig(f"{place}: {error}", path=str(place)) from None
    if certificate.secret is None:
        secret_file = place.with_suffix(".key_secret")
        raise BadConfig(f"{place}: only a public key; want the secret file, as {secret_file}")
    if zmq.curve_public(certificate.secret.encode()).decode() != certificate.public:
        raise BadConfig(f"{place}: its public and its secret key are no pair")
    return KeyPair(certificate.public, certificate.secret)


def own_pair(secret_file: Path) -> KeyPair:
    """A pair of the server's own; made, with its public file beside it, where it is missing.

    Raises:
        BadConfig: it cannot be used or made.
        NotPermitted: others can read or write it.
    """
    public_file = secret_file.with_suffix(".key")
    try:
        if not secret_file.exists():
            if public_file.exists():
                raise BadConfig(
                    f"{secret_file} is missing and {public_file} is there: put it back, or remove "
                    "the latter too for a new key (every client then needs the new one)"
                )
            public, secret = new_pair()
            # Another process may do the same now: the first one's counts, for both.
            write_private(
                secret_file, write_certificate(Certificate(public, secret)), replace=False
            )
        pair = load_pair(secret_file)
        if not public_file.exists():
            write_private(public_file, write_certificate(Certificate(pair.public)))
        if read_certificate(public_file).public != pair.public:
            raise BadConfig(f"{public_file} and {secret_file} are no pair")
    except OSError as error:
        raise BadConfig(f"{secret_file}: {error.strerror}", path=str(secret_file)) from None
    except ValueError as error:
        raise BadConfig(f"{public_file}: {error}", path=str(public_file)) from None
    check_private(public_file, "key file")
    return pair


def make_store_key(path: Path) -> None:
    """32 random bytes under which secrets lie at rest; made where it is missing."""
    import secrets  # agents read keys, and load less

    try:
        if not path.exists():
            write_private(path, secrets.token_bytes(STORE_KEY_BYTES), replace=False)
        check_private(path, "key file")
        if path.stat().st_size != STORE_KEY_BYTES:
            raise BadConfig(f"{path}: not {STORE_KEY_BYTES} bytes; put the right one back")
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}", path=str(path)) from None


def read_server_key(text: str | os.PathLike[str]) -> str:
    """A public key, from 40 Z85 characters or from a key file.

    Raises:
        BadConfig: it is neither.
    """
    if isinstance(text, str) and is_z85_key(text):
        return text
    path = Path(text).expanduser()
    try:
        return read_certificate(path).public
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadConfig(
            f"{os.fspath(text)!r}: neither a key of 40 Z85 characters nor a key file ({why})"
        ) from None

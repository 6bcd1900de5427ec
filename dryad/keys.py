"""An agent's keys: pyzmq's certificate files. pyzmq is loaded when one is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from boruta.domain.errors import BadConfig
from dryad.place import check_private

if TYPE_CHECKING:
    from transport.client import KeyPair


def load_pair(path: Path) -> KeyPair:
    """The pair in a `NAME.key_secret` file.

    Raises:
        BadConfig: there is none.
        NotPermitted: others can read or write it.
    """
    from transport.client import KeyPair

    try:
        check_private(path, "key file")
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from None
    public, secret = _certificate(path)
    if secret is None:
        raise BadConfig(f"{path}: only a public key; want the file NAME.key_secret")
    return KeyPair(public, secret)


def read_server_key(text: str) -> str:
    """A public key, given as 40 Z85 characters or as a key file.

    Raises:
        BadConfig: it is neither.
    """
    if len(text) == 40 and "/" not in text[:1]:
        import zmq.utils.z85

        try:
            zmq.utils.z85.decode(text.encode())
            return text
        except (ValueError, KeyError, UnicodeEncodeError):
            pass
    path = Path(text).expanduser()
    if not path.is_file():
        raise BadConfig(f"server_key: {text!r} is neither 40 Z85 characters nor a key file")
    return _certificate(path)[0]


def _certificate(path: Path) -> tuple[str, str | None]:
    import zmq.auth

    try:
        public, secret = zmq.auth.load_certificate(path)
        return public.decode(), None if secret is None else secret.decode()
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: no key file: {error}") from None

"""Private keys at rest: sealed with DATA/keys/store.key, each bound to its row (SAFETY, C10)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig

_NONCE: Final = 12  # bytes, as AES-GCM has it


class Seal:
    """Seals and opens texts with one 32-byte key; `key_id` names the key without telling it."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.key_id: Final = hashlib.sha256(b"boruta store key\0" + key).hexdigest()[:16]
        self._aead = AESGCM(key)

    @classmethod
    def of(cls, path: Path) -> Seal:
        """The seal of a `store.key` file, which is made where it is missing.

        Raises:
            BadConfig: it cannot be used.
            NotPermitted: others can read it.
        """
        from boruta.pairs import make_store_key

        make_store_key(path)
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise BadConfig(f"{path}: {error.strerror}", path=str(path)) from None

    def close(self, text: str, row: str) -> bytes:
        """`text`, sealed for `row` alone; an empty one stays empty."""
        if not text:
            return b""
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, text.encode(), row.encode())

    def open(self, sealed: bytes | None, row: str, key_id: str | None) -> str | None:
        """What was sealed for `row`; None if this key does not open it."""
        from cryptography.exceptions import InvalidTag

        if not sealed:
            return ""
        if key_id != self.key_id:
            return None
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], row.encode()).decode()
        except InvalidTag:
            return None


def job_label(request_id: int, worker_uuid: str, board_epoch: int) -> str:
    """What a job's key is bound to."""
    return f"job:{request_id}:{worker_uuid}:{board_epoch}"


def worker_label(uuid: str, board_epoch: int) -> str:
    """What a prepared key is bound to."""
    return f"worker:{uuid}:{board_epoch}"

"""Names of actors."""

from __future__ import annotations

import random


class UrnSource:
    """Makes URNs of random UUIDs (version 4), a third of `uuid.uuid4().urn`'s cost.

    Args:
        seed: the same seed gives the same names; None takes one from the system.
    """

    __slots__ = ("_bits",)

    def __init__(self, seed: int | str | None = None) -> None:
        self._bits = random.Random(seed).getrandbits

    def __call__(self) -> str:
        """The next URN."""
        text = f"{self._bits(128):032x}"
        return f"urn:uuid:{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

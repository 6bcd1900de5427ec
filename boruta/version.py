"""The version of the distribution; the wire has one of its own."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
SOFTWARE: Final = f"boruta {VERSION}"

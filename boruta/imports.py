"""Whether Python finds our packages, or others of these (common) names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig

_OURS: Final = ("boruta", "actors", "transport", "dryad")
_HOME: Final = Path(__file__).resolve().parent.parent
# The feature selection library of the same name puts this file beside ours.
_NAMESAKE: Final = "boruta_py.py"


def check_imports() -> None:
    """Makes sure that our four packages are those that Python imports.

    Raises:
        BadConfig: another package stands in the place of one; says which, where, and what to do.
    """
    if (_HOME / "boruta" / _NAMESAKE).exists():
        raise BadConfig(
            f"{_HOME / 'boruta'}: the feature selection library `Boruta` is installed over "
            "`boruta-farm`: both are called boruta. Use an environment of its own for each, e.g. "
            "python3 -m venv farm && farm/bin/pip install boruta-farm"
        )
    for name in _OURS:
        place = _place(name)
        if place != _HOME / name:
            where = "nowhere" if place is None else str(place)
            raise BadConfig(
                f"the package {name!r} is found in {where}, not in {_HOME}: another package of "
                "this name, or a directory of it where Python was started, hides that of "
                "boruta-farm. Remove it, start elsewhere, or use a virtual environment",
                package=name,
            )


def _place(name: str) -> Path | None:
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None) if module is not None else None
    if origin is None:
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # a module that somebody made by hand
            spec = None
        origin = None if spec is None else spec.origin
    return None if origin is None else Path(origin).resolve().parent

"""`python -m dryad`."""

from __future__ import annotations

from dryad.entry import main

if __name__ == "__main__":
    raise SystemExit(main())

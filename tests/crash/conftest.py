"""The databases of the farms that are killed, and cut off."""

from tests.store.conftest import database, postgres, proxy, tables

__all__ = ["database", "postgres", "proxy", "tables"]

"""The databases of the farms that are killed."""

from tests.store.conftest import database, postgres, tables

__all__ = ["database", "postgres", "tables"]

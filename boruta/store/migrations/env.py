"""How alembic runs the migrations: on the connection it is given, in the transaction that is open.

Nobody calls alembic's own command for this database: `boruta.store.migrate` does what is needed.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

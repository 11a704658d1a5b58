"""Runs inside Alembic: migrate.py hands over an open transaction, everything happens in it, and it ends it."""

from alembic import context

from chitram.adapters.db.migrate import configure

configure(context.config.attributes["connection"], configure_with=context.configure)
context.run_migrations()

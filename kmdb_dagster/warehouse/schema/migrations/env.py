"""Alembic's entry: runs the migrations on the connection that `migrate` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # MySQL commits at every DDL statement, so each migration can be run again after an interruption.
    transactional_ddl=False,
)
context.run_migrations()

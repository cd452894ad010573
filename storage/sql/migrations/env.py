"""What Alembic runs: the migrations, on the connection that it is given."""

from alembic import context

from storage.sql.partial_indexes import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()

"""Runs migrations on the connection that the caller hands over."""

from alembic import context

from nx_dte.coordinator.store.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=False,  # the caller's transaction spans everything
)
context.run_migrations()

"""Apply the migrations on the connection that shared.schema hands over."""

from alembic import context

from idp.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    transactional_ddl=True,  # atomic in SQLite too: shared.schema begins transactions itself
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by creating a new one
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()

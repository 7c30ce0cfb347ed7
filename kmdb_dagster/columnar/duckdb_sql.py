"""The dialect of DuckDB: statements of SQLAlchemy as SQL for the views of a copy."""

from sqlalchemy import ClauseElement
from sqlalchemy.engine.default import DefaultDialect

DUCKDB = "duckdb"
"""The name to register what DuckDB writes differently, with `sqlalchemy.ext.compiler.compiles`."""


class _DuckDb(DefaultDialect):
    """Standard SQL. Statements are only compiled with it: DuckDB's own driver runs them."""

    name = DUCKDB
    supports_statement_cache = False


def duckdb_sql(statement: ClauseElement) -> str:
    """Return a statement with its values as SQL for DuckDB."""
    # With named parameters, % and : in texts stay as they are.
    return str(statement.compile(dialect=_DuckDb(paramstyle="named"), compile_kwargs={"literal_binds": True}))

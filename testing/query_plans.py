"""Query plans (EXPLAIN) for tests: which tables a statement reads, and by which index."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Engine, text

from kmdb_dagster.warehouse.connection.server import server_of

FACTS = {"e", "p", "a", "b"}
"""The aliases that the documented queries give to events and properties."""


def tables_of(plan: object) -> Iterator[dict[str, Any]]:
    """Yield every table that a plan reads, at any depth."""
    if isinstance(plan, dict):
        if "table_name" in plan:
            yield plan
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from tables_of(part)


def explained(engine: Engine, statement: str, names: Collection[str] = FACTS) -> list[dict[str, Any]]:
    """Return the server's plan for a query: how it reads each of these tables."""
    with engine.connect() as connection:
        if not server_of(connection).maria:
            connection.exec_driver_sql("SET explain_json_format_version = 1")
        plan = connection.execute(text(f"EXPLAIN FORMAT=JSON {statement}".replace(":", "\\:"))).scalar_one()
    return [table for table in tables_of(json.loads(plan)) if table["table_name"] in names]

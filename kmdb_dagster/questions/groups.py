"""Groups of people or events by the values of a property: rare values folded into one, numbers put into bands.

``labels (person, t, id, label)`` holds each person's first value of a property.
"""

from typing import TYPE_CHECKING

from kmdb_dagster.charts.palette import OTHER

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NONE = "(none)"
"""The group without a value."""
EMPTY = "(empty)"
"""The group whose value is the empty text."""
MAX_GROUPS = 6
"""Values that get a group of their own. A reader cannot tell more lines apart."""
MAX_PLAIN_NUMBERS = 10
"""A property with more different numbers than this is put into bands."""


def quote_reserved(column: str) -> str:
    """Return an SQL expression that puts a value in quotes if it reads like `NONE`, `OTHER` or `EMPTY`."""
    return f"if({column} IN ('{NONE}', '{OTHER}', '{EMPTY}'), '“' || {column} || '”', {column})"


def group_name(column: str) -> str:
    """Return an SQL expression for a value as the name of a group: `EMPTY` for the empty text, NULL for NULL."""
    return f"if({column} = '', '{EMPTY}', {quote_reserved(column)})"


def fold_rare_values(duck: "DuckDBPyConnection", table: str = "labels", max_groups: int = MAX_GROUPS) -> None:
    """Replace all labels by `OTHER` except those that most people have.

    Args:
        duck: A database with the table.
        table: A table with a column ``label``.
        max_groups: Labels that are kept.
    """
    duck.execute(
        f"""
        UPDATE {table} SET label = '{OTHER}' WHERE label NOT IN (
            SELECT label FROM {table} GROUP BY label ORDER BY count(*) DESC, label LIMIT {max_groups}
        )
        """
    )


def band_numbers(duck: "DuckDBPyConnection", table: str = "labels") -> None:
    """Replace numbers by four bands with equally many people.

    Does nothing unless all labels are numbers, and more than `MAX_PLAIN_NUMBERS` different ones.
    """
    ((numbers, values),) = duck.sql(
        f"SELECT count(*) = count(TRY_CAST(label AS DOUBLE)), count(DISTINCT label) FROM {table}"
    ).fetchall()
    if not numbers or values <= MAX_PLAIN_NUMBERS:
        return
    duck.execute(
        f"""
        CREATE TABLE banded AS
        WITH placed AS (
            SELECT *, label::DOUBLE AS x, floor(percent_rank() OVER (ORDER BY label::DOUBLE) * 3.999) AS band
            FROM {table}
        )
        SELECT person, t, id, format('{{}} to {{}}', min(x) OVER same, max(x) OVER same) AS label
        FROM placed WINDOW same AS (PARTITION BY band)
        """
    )
    duck.execute(f"DROP TABLE {table}")
    duck.execute(f"ALTER TABLE banded RENAME TO {table}")

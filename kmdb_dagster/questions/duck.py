"""What several questions do with the tables of a slice: firsts, groups, frames. No SQL of the server's.

``facts (person, t, id, name)`` are events; ``labels (person, t, id, label)`` are the first values of a property.
Times are seconds since 1970, and of one second what arrived first has the lower ``id``.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

NONE = "(none)"
"""Who has no value."""
OTHER = "(other)"
"""Who has a value that few have."""
EMPTY = "(empty)"
"""Who has a value without a character."""
MOST_GROUPS = 6
"""Values that are shown apart: more lines than that nobody can tell apart."""


MOST_PLAIN_NUMBERS = 10
"""Different numbers of a property that are taken as they are."""


AFTER = "(f.t > s.t OR f.t = s.t AND f.id > s.id)"
"""That the fact ``f`` is later than ``s``."""


def apart(column: str) -> str:
    """An expression for a value that a visitor made up, in quotes if it is one of the words above."""
    return f"if({column} IN ('{NONE}', '{OTHER}', '{EMPTY}'), '“' || {column} || '”', {column})"


class Way(NamedTuple):
    """From one event to another: from a person's first ``start`` to the first ``goal`` after it."""

    start: int
    """A name, as in ``facts``."""
    goal: int | None
    """Another; None: there is none."""
    within: int
    """Seconds that there are for it."""
    end: int
    """Who starts at this second or later does not count."""

    def started(self) -> str:
        """A query for who starts, and when: ``person, t, id``."""
        firsts = "person, min(t) AS t, min_by(id, (t, id)) AS id"
        return f"SELECT {firsts} FROM facts WHERE name = {self.start} GROUP BY person HAVING min(t) < {self.end}"


def frame_of(duck: "DuckDBPyConnection", sql: str) -> "pl.DataFrame":
    """The answer to a query."""
    found: pl.DataFrame = duck.sql(sql).pl()
    return found


def go(duck: "DuckDBPyConnection", way: Way) -> None:
    """Make the table ``people (person, t, goal_t, goal_id)`` of ``facts``: who starts, and who gets to the goal.

    Step by step: as one statement, its joins and groups would have to be in memory at the same time.
    """
    duck.execute(f"CREATE TABLE started AS {way.started()}")
    duck.execute(
        f"""
        CREATE TABLE goals AS
        SELECT person, min(f.t) AS goal_t, min_by(f.id, (f.t, f.id)) AS goal_id
        FROM facts f JOIN started s USING (person)
        WHERE f.name = {way.goal} AND {AFTER} AND f.t <= s.t + {way.within}
        GROUP BY person
        """
    )
    duck.execute("CREATE TABLE people AS SELECT person, t, goal_t, goal_id FROM started LEFT JOIN goals USING (person)")


def fold(duck: "DuckDBPyConnection", table: str = "labels", most: int = MOST_GROUPS) -> None:
    """Make one of all values but those that most people have."""
    duck.execute(
        f"""
        UPDATE {table} SET label = '{OTHER}' WHERE label NOT IN (
            SELECT label FROM {table} GROUP BY label ORDER BY count(*) DESC, label LIMIT {most}
        )
        """
    )


def band(duck: "DuckDBPyConnection", table: str = "labels") -> None:
    """Put numbers into four bands of equally many people, if all values are numbers and there are more than ten."""
    ((numbers, values),) = duck.sql(
        f"SELECT count(*) = count(TRY_CAST(label AS DOUBLE)), count(DISTINCT label) FROM {table}"
    ).fetchall()
    if not numbers or values <= MOST_PLAIN_NUMBERS:
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

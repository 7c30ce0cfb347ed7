"""Conversions: who starts with one event and reaches another in time. Computed in DuckDB, from the table ``facts``.

``facts (person, t, id, name)`` are events: ``t`` is in seconds since 1970, UTC, and within one second the event that
arrived first has the lower ``id``.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IS_LATER = "(f.t > s.t OR f.t = s.t AND f.id > s.id)"
"""SQL condition: the fact ``f`` is later than the fact ``s``."""


class Conversion(NamedTuple):
    """From a person's first ``start`` to the first ``goal`` after it. Names are ids, as in ``facts.name``."""

    start: int
    goal: int | None
    """None: there is no goal, only a start."""
    within: int
    """Seconds allowed from the start to the goal."""
    end: int
    """Seconds since 1970. A person who starts at this second or later is not counted."""

    def starts_sql(self) -> str:
        """Return a query for the people who start, and when: ``person, t, id``."""
        firsts = "person, min(t) AS t, min_by(id, (t, id)) AS id"
        return f"SELECT {firsts} FROM facts WHERE name = {self.start} GROUP BY person HAVING min(t) < {self.end}"

    def cohorts_sql(self) -> str:
        """Return a query for the people who start, with the period in which they do: ``person, t, id, cohort``.

        It needs the table ``periods``.
        """
        return f"SELECT s.*, period AS cohort FROM ({self.starts_sql()}) s ASOF JOIN periods ON t >= starts"


def find_conversions(duck: "DuckDBPyConnection", conversion: Conversion) -> None:
    """Create the table ``people (person, t, goal_t, goal_id)``: who starts, and who reaches the goal.

    Args:
        duck: A database with the table ``facts``.
        conversion: From where to where. ``goal_t`` and ``goal_id`` are NULL for people who do not convert.
    """
    # Three statements: as one, its joins and groups would have to fit into memory at the same time.
    duck.execute(f"CREATE TABLE started AS {conversion.starts_sql()}")
    duck.execute(
        f"""
        CREATE TABLE goals AS
        SELECT person, min(f.t) AS goal_t, min_by(f.id, (f.t, f.id)) AS goal_id
        FROM facts f JOIN started s USING (person)
        WHERE f.name = {conversion.goal} AND {IS_LATER} AND f.t <= s.t + {conversion.within}
        GROUP BY person
        """
    )
    duck.execute("CREATE TABLE people AS SELECT person, t, goal_t, goal_id FROM started LEFT JOIN goals USING (person)")

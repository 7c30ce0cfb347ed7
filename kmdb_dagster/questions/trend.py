"""Events over time: how many of each name, or of each value of a property."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Engine, Integer, Select, SQLColumnExpression, Text, and_, distinct, func, select

from kmdb_dagster.charts import answers
from kmdb_dagster.questions.answer import Answer, total
from kmdb_dagster.questions.duck import MOST_GROUPS, NONE, OTHER, apart, frame_of
from kmdb_dagster.questions.slices import LONGEST_LABEL, Slice, bounded, opened, second, span_of, within
from kmdb_dagster.questions.span import RECENTLY, UNITS, Span, When, in_words
from kmdb_dagster.warehouse.schema.tables import Event, Property

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

MULTIPLIES = 8
"""SQLAlchemy's precedence of multiplication: MySQL's DIV binds as tightly."""
DAY = UNITS["d"]
DAYS_BEFORE_1970 = 719_528
"""TO_DAYS('1970-01-01')."""


@dataclass(frozen=True)
class Trend:
    """How often these events happen, or all if none is named, in each piece of ``every`` seconds."""

    events: tuple[str, ...] = ()
    by: str | None = None
    every: int | None = None
    people: bool = False
    """Count people, each once in a piece, and not events."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        every = self.every or span.pieces()
        with opened(engine) as found:
            found.take("counts", self._counts(found, span, every))
            _tell_values_apart(found.duck) if self.by else _name_groups(found)
            frame = over_time(found.duck, span, every)
        what = "people" if self.people else "events"
        return Answer(
            question=f"{self._subject()} per {in_words(every).removeprefix('1 ')}"
            + (f", by {self.by}" if self.by else ""),
            finding=f"{total(frame['events']):,} events" + _busiest(frame),
            number=total(frame["events"]),
            span=span,
            frame=frame,
            sql=tuple(found.statements),
            caveats=_whole_pieces(span, every),
            draw=lambda figure: answers.trend(figure, frame, what),
        )

    def _subject(self) -> str:
        counted = ", ".join(f"“{name}”" for name in self.events) or "Events"
        return f"People with {counted}" if self.people else counted

    def _counts(self, found: Slice, span: Span, every: int) -> Select[Any]:
        """Counted by the server: what comes back is small, whatever the number of events."""
        piece = _piece(span, every)
        group: SQLColumnExpression[Any] = Event.n
        if self.by:
            group = func.left(Property.value, LONGEST_LABEL, type_=Text)
        counted = select(
            piece.label("piece"),
            group.label("label"),
            func.count().label("events"),
            func.count(distinct(Event.user_id)).label("people"),
        )
        if self.by:
            (key,) = found.keys([self.by])
            its = and_(Property.event_id == Event.id, Property.t == Event.t, Property.key == key)
            # Bounds of its own: from those of the events, the server would not know which partitions it needs.
            its &= and_(*within(Property.t, span.since, span.until))
            counted = counted.select_from(Event).outerjoin(Property, its)
        narrowed = bounded(counted, Event, span.since, span.until, found.keys(self.events))
        return narrowed.group_by(piece, group)


def _piece(span: Span, every: int) -> Any:  # noqa: ANN401 - SQLAlchemy types no operator of ours
    """Which piece of the span an event is in, counted from 0."""
    if span.start % DAY == every % DAY == 0:
        # The server takes a third less to group by whole days than by seconds.
        days = func.to_days(Event.t, type_=Integer) - (DAYS_BEFORE_1970 + span.start // DAY)
        return days.op("DIV", precedence=MULTIPLIES)(every // DAY)
    return (second(Event.t) - span.start).op("DIV", precedence=MULTIPLIES)(every)


def over_time(duck: "DuckDBPyConnection", span: Span, every: int) -> "pl.DataFrame":
    """A row for each piece of time and each of the largest groups; 0 where nothing happened.

    Args:
        duck: with the table ``counts (piece, label, events, people)``. The first piece is 0.
        span: what the pieces divide.
        every: seconds of a piece.

    Returns:
        ``time``, ``group``, ``events``, ``people``. The people of all small groups together are not known: NULL.
    """
    pieces = -(-(span.end - span.start) // every)
    return frame_of(
        duck,
        f"""
        WITH largest AS (
            SELECT label, sum(events) AS total FROM counts GROUP BY label ORDER BY total DESC, label LIMIT {MOST_GROUPS}
        ),
        folded AS (
            SELECT piece, coalesce(l.label, '{OTHER}') AS "group", sum(events) AS events,
                if(l.label IS NULL, NULL, sum(people)) AS people, coalesce(max(l.total), 0) AS total
            FROM counts c LEFT JOIN largest l ON l.label = c.label GROUP BY piece, l.label
        ),
        grid AS (
            SELECT p.piece, g.* FROM range({pieces}) p(piece), (
                SELECT "group", max(total) AS total FROM folded GROUP BY "group") g
        )
        SELECT make_timestamp(({span.start} + g.piece * {every}) * 1000000) AS time, "group",
            coalesce(events, 0)::BIGINT AS events,
            if("group" = '{OTHER}', NULL, coalesce(people, 0))::BIGINT AS people
        FROM grid g LEFT JOIN folded f USING (piece, "group")
        ORDER BY g.total DESC, "group", time
        """,
    )


def _tell_values_apart(duck: "DuckDBPyConnection") -> None:
    """Values as groups: none is taken for the group of those without one, or of those that few have."""
    duck.execute(f"UPDATE counts SET label = coalesce({apart('label')}, '{NONE}')")


def _name_groups(found: Slice) -> None:
    """Names in place of their ids."""
    found.name_all([row[0] for row in found.duck.sql("SELECT DISTINCT label FROM counts").fetchall()])
    # All at once: an event may be called 7, which is also the id of another.
    found.duck.register("names", pa.table({"id": pa.array(found.names, pa.int64()), "name": [*found.names.values()]}))
    found.duck.execute(
        "CREATE OR REPLACE TABLE counts AS "
        f"SELECT piece, {apart('names.name')} AS label, events, people "
        "FROM counts JOIN names ON names.id = counts.label"
    )
    found.duck.unregister("names")


def _busiest(frame: "pl.DataFrame") -> str:
    if frame.is_empty():
        return "."
    top = frame["group"][0]
    return f", most often {top} ({frame.filter(frame['group'] == top)['events'].sum():,})."


def _whole_pieces(span: Span, every: int) -> tuple[str, ...]:
    if (span.end - span.start) % every == 0 and span.end <= span.known_end():
        return ()
    return ("The last piece of time is not whole: it shows less than there will be.",)

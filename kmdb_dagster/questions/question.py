"""What all questions have in common: the time that they are about, and how a result becomes an answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Engine

from kmdb_dagster.charts.number_text import describe_duration
from kmdb_dagster.columnar.current import Place, read_tables
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.people_list import PeopleList
from kmdb_dagster.questions.restriction import restrict
from kmdb_dagster.questions.segment import EVERYBODY, Segment
from kmdb_dagster.questions.slices import Slice, open_slice
from kmdb_dagster.questions.span import RECENTLY, Span, When

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

ARROW = " → "


class Result(NamedTuple):
    """What a question computes from its slice. `Answer` describes the fields."""

    title: str
    finding: str
    number: float | None
    frame: "pl.DataFrame"
    draw: "Callable[[Figure], None]"
    members: str
    """A DuckDB query for the people behind the numbers: ``person``, and the `Question.people_columns`."""
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """A question with its parameters."""

    when: When = RECENTLY
    who: Segment = EVERYBODY

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return 0

    @property
    def reach_text(self) -> str:
        """How long people are followed after the span, as text."""
        return describe_duration(self.reach)

    @property
    @abstractmethod
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""

    def ask(self, engine: Engine, people: PeopleList | None = None, place: Place | None = None) -> Answer:
        """Load the slice, compute the frame, and return the answer.

        Args:
            engine: The warehouse.
            people: Where to write the people behind the numbers.
            place: Where facts are read (`choose_place`). None: the tables.

        Raises:
            PermanentError: No event or property has a name of the question, or there is nothing to compare.
        """
        if people:
            people.require_columns(self.people_columns)
        place = place or read_tables(engine)
        try:
            return self._answer(engine, people, place)
        except Exception:
            if place.copy is None or place.copy.is_complete():
                raise
            # An erasure removes replaced files at once.
            return self._answer(engine, people, read_tables(engine, "the columnar copy was replaced meanwhile"))

    def _answer(self, engine: Engine, people: PeopleList | None, place: Place) -> Answer:
        with open_slice(engine, self.when, self.reach, place.copy) as slice_:
            slice_.needs_people = people is not None
            restrict(slice_, self.who)
            result = self.compute(slice_)
            listed = people.write(slice_, result.members, self.people_columns) if people else None
        return Answer(
            question=f"{result.title}: {self.who}" if str(self.who) else result.title,
            finding=result.finding,
            number=result.number,
            span=slice_.span,
            frame=result.frame,
            sql=tuple(slice_.statements),
            caveats=(*slice_.notes, *result.caveats, *self._short_observation_caveat(slice_.span)),
            draw=result.draw,
            listed=listed,
            read_from=str(place),
        )

    def _short_observation_caveat(self, span: Span) -> tuple[str, ...]:
        """Return a caveat if people who started late in the span are not observed for as long as the others."""
        if not self.reach or span.end + self.reach <= span.known_end():
            return ()
        length = self.reach_text.removeprefix("1 ")
        who = f"People who started in the last {length} of the data"
        return (f"{who} may still convert: they are not observed long enough.",)

    @abstractmethod
    def compute(self, slice_: Slice) -> Result:
        """Load what the question needs into the slice, and compute the result."""


def nobody_did(start: str) -> str:
    """Return the finding of a span in which no person started."""
    return f"No person did “{start}” in this span."


def join_steps(names: Sequence[str]) -> str:
    """Join the names of events with arrows. A name that contains an arrow is quoted, so that it reads as one."""
    return ARROW.join(f"“{name}”" if ARROW.strip() in name else name for name in names)

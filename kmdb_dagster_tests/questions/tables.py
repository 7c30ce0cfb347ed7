"""Slices built by hand."""

from collections.abc import Iterable

import duckdb
import polars as pl
from hypothesis import strategies as st

from kmdb_dagster_tests.questions.by_hand import Fact

NAMES = (1, 2, 3)
DUCK = duckdb.connect(config={"threads": 1})
"""One for all: opening one takes longer than most examples."""


def tables(facts: Iterable[Fact], labels: Iterable[tuple[int, int, int, str]] = ()) -> duckdb.DuckDBPyConnection:
    """A slice with these facts and these first values: person, t, id, label."""
    number = pl.Int64
    held = {
        "facts": pl.DataFrame(list(facts), dict.fromkeys(Fact._fields, number), orient="row"),
        "all_labels": pl.DataFrame(
            list(labels), {"person": number, "t": number, "id": number, "label": pl.String}, orient="row"
        ),
    }
    for kind, name in DUCK.sql("SELECT table_type, table_name FROM information_schema.tables").fetchall():
        DUCK.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {name} CASCADE")
    for name, frame in held.items():
        put(name, frame)
    DUCK.execute("CREATE TABLE labels AS SELECT * FROM all_labels")
    return DUCK


def put(name: str, frame: pl.DataFrame) -> None:
    """A table."""
    DUCK.register("frame", frame)
    DUCK.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")  # noqa: S608 - ours
    DUCK.unregister("frame")


@st.composite
def some_facts(draw: st.DrawFn) -> list[Fact]:
    """Few people, few names, few seconds: so that all that can meet does."""
    rows = draw(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 8), st.sampled_from(NAMES)), max_size=14))
    ids = draw(st.permutations(range(1, len(rows) + 1)))
    return [Fact(person, t, at, name) for (person, t, name), at in zip(rows, ids, strict=True)]

"""The queries of docs/reference/parquet.md return what the records of a lake contain."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kmdb_dagster.km_export.layout import parse_revision
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.km_export.records import Event, PropertySet, Record, Rejected, Value
from kmdb_dagster.sample import sample_bucket
from testing.buckets import T, alias, event, line, property_set
from testing.lakes import empty_lake, parse_into

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "parquet.md").read_text()
QUERIES = re.findall(r"```sql\n(SELECT.*?)```", PAGE, re.DOTALL)
(POLARS_EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

MIDNIGHT = 1388534400
"""2014-01-01, UTC."""

EDGE_CASES = [
    event("signed up", "ann", MIDNIGHT - 1, plan="free"),
    event("signed up", "bob", MIDNIGHT, plan="free"),
    property_set("bob", T, plan="of an earlier line"),
    property_set("bob", T, plan="of a later line"),
    property_set("bob", T - 1, plan="of an earlier time"),
    line({"_p": "ann", "_t": T, "plan": None}),
    property_set("carl", T, colour="red"),
    alias("carl", "dora"),
    b'{"_p":"carl","_p2":"dora","_n":"upgraded","plan":"pro","_t":1397577453}\n',
    b"no json\n\n",
    b"neither\n",
]

Read = dict[int, list[Record]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return the records of a lake, by revision. The lake is the working directory."""
    files = {number: content for key, content in sample_bucket(3, 500) if (number := parse_revision(key))}
    files |= {1000: b"".join(EDGE_CASES), 1001: property_set("carl", T, plan="of a later revision"), 1002: b""}
    lake = empty_lake(tmp_path)
    monkeypatch.chdir(tmp_path)
    for revision, content in files.items():
        parse_into(lake, revision, content)
    return {revision: list(read_lines([content])) for revision, content in files.items()}


def events_by_name_and_day(read: Read) -> list[tuple[date, str, int]]:
    counts = Counter((day(r.t), r.name) for records in read.values() for r in records if isinstance(r, Event))
    return [(*key, count) for key, count in sorted(counts.items())]


def day(t: int) -> date:
    return datetime.fromtimestamp(t, UTC).date()


def rejected_by_reason_and_file(read: Read) -> list[tuple[str, int, int, int]]:
    lines: dict[tuple[str, int], list[int]] = {}
    for revision, records in read.items():
        for record in records:
            if isinstance(record, Rejected):
                lines.setdefault((record.reason.value, revision), []).append(record.line)
    return [(*key, len(where), min(where)) for key, where in sorted(lines.items())]


def latest_plans(read: Read) -> list[tuple[str, str | None]]:
    latest: dict[str, tuple[tuple[int, int, int], Value]] = {}
    for revision, records in read.items():
        for r in records:
            if isinstance(r, Event | PropertySet) and "plan" in r.properties:
                entry = (r.t, revision, r.line), r.properties["plan"]
                latest[r.identity] = max(latest.get(r.identity, entry), entry, key=lambda timed: timed[0])
    return [(identity, plan if isinstance(plan, str) else plan.text) for identity, (_, plan) in sorted(latest.items())]


@pytest.mark.parametrize(
    ("query", "expected"),
    list(zip(QUERIES, [events_by_name_and_day, rejected_by_reason_and_file, latest_plans], strict=True)),
    ids=["events", "rejected", "plans"],
)
def test_docs_queries_of_the_parquet_page_return_what_the_records_contain(
    read: Read, query: str, expected: Callable[[Read], list[tuple[object, ...]]]
) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'America/Los_Angeles'")  # the analyst's own zone must not matter
        answer = connection.execute(query).fetchall()
    assert len(answer) > 2
    assert answer == expected(read)


def test_docs_polars_returns_the_same_as_duckdb(read: Read) -> None:
    names: dict[str, Any] = {}
    exec(POLARS_EXAMPLE, names)  # noqa: S102 - our own document
    assert names["answer"].rows() == events_by_name_and_day(read)


def test_docs_the_latest_plan_has_the_latest_time_then_the_latest_arrival(read: Read) -> None:
    plans = dict(latest_plans(read))
    assert (plans["ann"], plans["bob"], plans["carl"]) == (None, "of a later line", "of a later revision")

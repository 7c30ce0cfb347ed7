"""Compare the facts in the tables with the Parquet: a random sample of the lines of each revision, by name."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, Row, text

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake, ParsedFile
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.schema.row_ids import ORDINAL_BITS, id_range, row_id
from kmdb_dagster.warehouse.schema.tables import FACTS

COLUMNS = ["line", "kind", "t", "identity", "name", "properties"]
RECORDS_PER_BATCH = 10_000

IMPORTED = "SELECT revision FROM revisions WHERE imported_at IS NOT NULL AND t_min IS NOT NULL ORDER BY revision"
LEDGER_ROW = (
    "SELECT etag, events + properties AS facts, t_min, t_max FROM revisions "
    "WHERE revision = :revision AND imported_at IS NOT NULL AND t_min IS NOT NULL LOCK IN SHARE MODE"
)
SAMPLE = (
    f"WHERE f.id BETWEEN :first AND :last AND f.t BETWEEN :t_min AND :t_max AND (f.id >> {ORDINAL_BITS}) % :step = :at"
)
NAMED = "LEFT JOIN `keys` k ON k.id = f.{key} LEFT JOIN users u ON u.id = f.identity_id"
FOUND = {
    "events": f"SELECT f.id, f.t, u.name, k.string FROM events f {NAMED.format(key='n')} {SAMPLE}",  # noqa: S608 - ours
    "properties": "SELECT f.id, f.t, u.name, k.string, f.value, f.event_id FROM properties f "  # noqa: S608 - ours
    f"{NAMED.format(key='`key`')} {SAMPLE}",
}

Fact = tuple[Any, ...]


class Comparison(NamedTuple):
    """The result of a comparison."""

    rows: int
    """Rows of `events` and `properties` that were compared."""
    wrong: dict[int, int]
    """Rows that differ from the Parquet, by revision. Expected: empty."""
    compared: int
    """Revisions that were compared."""
    not_compared: int
    """Revisions whose Parquet is missing, damaged, or of another version of the file."""


def compare_with_parquet(engine: Engine, lake: Lake, rows_per_revision: int) -> Comparison:
    """Compare a sample of the facts of each imported revision. Each call draws another sample.

    Args:
        engine: the warehouse.
        lake: the data folder with the Parquet.
        rows_per_revision: about how many facts of each revision are compared (KMDB_CHECKED_ROWS).
    """
    with transaction(engine) as connection:
        revisions = connection.execute(text(IMPORTED)).scalars().all()
    rows = not_compared = 0
    wrong: Counter[int] = Counter()
    for revision in revisions:
        counts = _compare(engine, lake, revision, rows_per_revision)
        if counts is None:
            not_compared += 1
            continue
        rows += counts[0]
        wrong += Counter({revision: counts[1]})
    return Comparison(rows, dict(wrong), len(revisions) - not_compared, not_compared)


def _compare(engine: Engine, lake: Lake, revision: int, rows: int) -> tuple[int, int] | None:
    """Return the number of rows compared, and of rows that differ. None: there is no Parquet to compare with."""
    with transaction(engine) as connection:
        # A shared lock: no load and no erasure changes either side during the comparison.
        locked = connection.execute(text(LEDGER_ROW), {"revision": revision}).one_or_none()
        if locked is None:
            return 0, 0
        step = -(-locked.facts // rows) or 1
        at = random.randrange(step)  # noqa: S311 - a sample
        try:
            parsed = ParsedFile(lake.parsed(revision), revision)
            if parsed.etag != locked.etag:
                return None
            expected = dict(_expected(parsed, revision, step, at))
        except PermanentError:
            return None
        found = _found(connection, revision, locked, step, at)
    return len(found), sum(expected.get(fact[0]) != fact[1:] for fact in found)


def _found(connection: Connection, revision: int, ledger_row: Row[Any], step: int, at: int) -> list[Fact]:
    where = {**id_range(revision), "t_min": ledger_row.t_min, "t_max": ledger_row.t_max, "step": step, "at": at}
    return [tuple(row) for table in FACTS for row in connection.execute(text(FOUND[table]), where)]


def _expected(parsed: ParsedFile, revision: int, step: int, at: int) -> Iterator[tuple[int, Fact]]:
    """Yield the facts of every ``step``-th line, by row id, in the columns of `FOUND`. Some may be filtered."""
    for batch in parsed.batches(RECORDS_PER_BATCH, columns=COLUMNS):
        chosen = batch.filter(pa.array(_lines_in_revision(batch, revision) % step == at))
        times = chosen.column("t").cast(pa.timestamp("s")).to_pylist()
        for record, t in zip(chosen.to_pylist(), times, strict=True):
            yield from _facts(record, t, row_id(revision, record["line"]))


def _lines_in_revision(batch: pa.RecordBatch, revision: int) -> Any:  # noqa: ANN401 - an array of numpy's
    return np.asarray(batch.column("line")).astype(np.int64) | row_id(revision, 0) >> ORDINAL_BITS


def _facts(record: dict[str, Any], t: object, first: int) -> Iterator[tuple[int, Fact]]:
    if record["kind"] not in {"event", "property_set"}:
        return
    is_event = record["kind"] == "event"
    if is_event:
        yield first, (t, record["identity"], record["name"])
    for ordinal, (key, value) in enumerate(record["properties"], start=1):
        yield first + ordinal, (t, record["identity"], key, value, first if is_event else None)

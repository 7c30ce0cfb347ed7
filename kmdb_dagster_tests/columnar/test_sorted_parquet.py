"""A sorted Parquet file has the same rows whether they fit in memory or not, and its row groups prune."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmdb_dagster.columnar import sorted_parquet
from kmdb_dagster.columnar.snapshot import SOURCES
from kmdb_dagster.columnar.sorted_parquet import Limits, write_sorted

SCHEMA = SOURCES["properties"].schema
SMALL = Limits(run_rows=20, run_bytes=10_000_000, group_rows=8)


def batches(identities: list[int], size: int = 7) -> Iterator[pa.Table]:
    """Yield properties of these identities in batches, with ids in the order of the list."""
    for start in range(0, len(identities), size):
        part = identities[start : start + size]
        ids = list(range(start, start + len(part)))
        cells: list[Any] = [ids, [(7 * each % 11) * 1000 for each in ids], ids, [f"v{each}" for each in ids], ids, part]
        yield pa.table([pa.array(column) for column in cells], SCHEMA.names).cast(SCHEMA)


def written(path: Path) -> list[tuple[object, ...]]:
    """Return the rows of a file in its order: identity, time and id."""
    found = pq.read_table(path, columns=["identity_id", "t", "id"])
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), max_size=150))
def test_rows_that_do_not_fit_in_memory_are_merged_in_order(
    tmp_path_factory: pytest.TempPathFactory, identities: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("sorted")
    count = write_sorted(folder / "small", SCHEMA, batches(identities), SMALL)
    assert count == len(identities) == write_sorted(folder / "large", SCHEMA, batches(identities))
    if identities:
        assert written(folder / "small") == written(folder / "large") == sorted(written(folder / "large"))


def test_no_row_makes_no_file(tmp_path: Path) -> None:
    assert write_sorted(tmp_path / "none", SCHEMA, []) == 0
    assert not (tmp_path / "none").exists()


def test_row_groups_are_bounded_and_one_identity_is_in_few(tmp_path: Path) -> None:
    identities = np.random.default_rng(1).integers(1, 1000, 5000).tolist()
    limits = Limits(run_rows=1000, group_rows=200)
    write_sorted(tmp_path / "file", SCHEMA, batches(identities, 500), limits)
    metadata = pq.read_metadata(tmp_path / "file")
    place = SCHEMA.names.index("identity_id")
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    found: list[Any] = [group.column(place).statistics for group in groups]
    assert max(group.num_rows for group in groups) <= limits.group_rows
    assert max(sum(span.min <= identity <= span.max for span in found) for identity in range(1, 1000)) <= 4


def test_rows_of_one_identity_are_merged_in_bounded_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    in_order = sorted_parquet._sorted  # noqa: SLF001 - the only place where rows are held in memory

    def watched(parts: list[pa.Table]) -> pa.Table:
        nonlocal largest
        largest = max(largest, sum(part.num_rows for part in parts))
        return in_order(parts)

    monkeypatch.setattr(sorted_parquet, "_sorted", watched)
    limits = Limits(run_rows=1000, group_rows=200)
    write_sorted(tmp_path / "file", SCHEMA, batches([7] * 20_000, 500), limits)
    assert written(tmp_path / "file") == sorted(written(tmp_path / "file"))
    assert largest <= limits.run_rows


def test_large_values_make_small_row_groups(tmp_path: Path) -> None:
    value = "x" * 1_000_000
    parts = [[each] * 10 for each in range(30)]
    tables = (
        pa.table([pa.array(c) for c in (ids, [0] * 10, ids, [value] * 10, ids, ids)], SCHEMA.names).cast(SCHEMA)
        for ids in parts
    )
    write_sorted(tmp_path / "file", SCHEMA, tables)
    assert pq.read_metadata(tmp_path / "file").num_row_groups >= 5


def test_runs_leave_no_file_in_the_folder(tmp_path: Path) -> None:
    seen: set[Path] = set()

    def watched() -> Iterator[pa.Table]:
        for batch in batches(list(range(200))):
            seen.update(tmp_path.iterdir())
            yield batch

    write_sorted(tmp_path / "file", SCHEMA, watched(), SMALL)
    assert seen == set()

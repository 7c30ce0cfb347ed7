"""Write a sorted Parquet file of rows that arrive in any order, in bounded memory.

Rows are sorted by identity, then time: the file is one time partition, and its row groups prune by identity. More rows
than fit in memory become sorted runs in unnamed temporary files, which vanish with the process, and are merged by
ranges of the sort key.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kmdb_dagster.warehouse.schema.columns import IntColumn

MAX_RUN_ROWS = 1_000_000
MAX_RUN_BYTES = 128 * 1024 * 1024
MAX_GROUP_ROWS = 122_880
"""DuckDB's own size of a row group."""
MAX_GROUP_BYTES = 64 * 1024 * 1024
SAMPLES_PER_GROUP = 16

SORT = ("identity_id", "t", "id")


class Limits(NamedTuple):
    """How much is in memory at once."""

    run_rows: int = MAX_RUN_ROWS
    run_bytes: int = MAX_RUN_BYTES
    group_rows: int = MAX_GROUP_ROWS


LIMITS = Limits()


def write_sorted(path: Path, schema: pa.Schema, batches: Iterable[pa.Table], limits: Limits = LIMITS) -> int:
    """Write rows to a Parquet file, sorted by `SORT`. Without rows, no file is written.

    Args:
        path: the file. Temporary files are beside it.
        schema: the columns; `SORT` is among them.
        batches: the rows, in any order.
        limits: how much is in memory at once.

    Returns:
        The number of rows.
    """
    with ExitStack() as stack:
        runs = list(_sorted_runs(stack, path.parent, batches, limits))
        rows = sum(run.num_rows for run in runs)
        if rows:
            mean_bytes = max(1, sum(run.nbytes for run in runs) // rows)
            group_rows = max(1, min(limits.group_rows, MAX_GROUP_BYTES // mean_bytes))
            with _open_writer(path, schema) as writer:
                for part in _merged(runs, group_rows):
                    writer.write_table(part, row_group_size=group_rows)
        return rows


def write_in_order(path: Path, schema: pa.Schema, batches: Iterable[pa.Table]) -> int:
    """Write rows to a Parquet file as they arrive.

    Args:
        path: the file.
        schema: the columns.
        batches: the rows, in the order of the file.

    Returns:
        The number of rows.
    """
    rows = 0
    with _open_writer(path, schema) as writer:
        for batch in batches:
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


def _open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    names = set(schema.names)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=sorted(names & {"n", "key", "value", "identity_id", "user_id"}),  # type: ignore[arg-type]
        write_page_checksum=True,
        write_page_index=True,
        sorting_columns=pq.SortingColumn.from_ordering(schema, [(name, "ascending") for name in SORT])
        if names.issuperset(SORT)
        else None,
    )


def _sorted_runs(stack: ExitStack, folder: Path, batches: Iterable[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= limits.run_rows or size >= limits.run_bytes:
            yield _spilled(stack, folder, _sorted(waiting))
            waiting, rows, size = [], 0, 0
    if rows:
        yield _sorted(waiting)


def _sorted(parts: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).combine_chunks().sort_by([(name, "ascending") for name in SORT])


def _spilled(stack: ExitStack, folder: Path, run: pa.Table) -> pa.Table:
    """Return a run that is in a file instead of in memory."""
    file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - until the runs are merged
    name = f"/dev/fd/{file.fileno()}"
    with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, run.schema) as writer:
        writer.write_table(run.combine_chunks())
    return pa.ipc.open_file(stack.enter_context(pa.memory_map(name))).read_all()


def _merged(runs: list[pa.Table], group_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of sorted runs in order, about ``group_rows`` at a time."""
    if len(runs) == 1:
        yield from runs
        return
    keys = [_keys(run) for run in runs]
    places = [0] * len(runs)
    for bound in _bounds(keys, group_rows):
        ends = [_place_after(each, bound) for each in keys]
        parts = [run.slice(start, end - start) for run, start, end in zip(runs, places, ends, strict=True)]
        places = ends
        if any(part.num_rows for part in parts):
            yield _sorted(parts)


def _keys(run: pa.Table) -> list[IntColumn]:
    """Return the columns of the sort key as whole numbers."""
    return [np.asarray(run.column(name).combine_chunks().cast(pa.int64())) for name in SORT]


def _bounds(keys: list[list[IntColumn]], group_rows: int) -> Iterator[list[int]]:
    """Yield the last sort key of each row group, so that each has about ``group_rows`` rows."""
    stride = max(1, group_rows // SAMPLES_PER_GROUP)
    samples = np.concatenate([np.stack([column[::stride] for column in each]) for each in keys], axis=1)
    in_order = samples[:, np.lexsort(samples[::-1])]
    yield from in_order[:, SAMPLES_PER_GROUP - 1 :: SAMPLES_PER_GROUP].T.tolist()
    yield max([int(column[-1]) for column in each] for each in keys)


def _place_after(keys: list[IntColumn], bound: list[int]) -> int:
    """Return where the rows of a run that are greater than a sort key begin."""
    start, end = 0, len(keys[0])
    for column, value in zip(keys, bound, strict=True):
        span = column[start:end]
        start, end = (start + int(np.searchsorted(span, value, side=side)) for side in ("left", "right"))
    return end

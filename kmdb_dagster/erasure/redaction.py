"""Redact erased people from batches of records, and rewrite a Parquet file without them.

A redacted record stays as a row of kind ``forgotten`` with no content, so that the line counts of a revision still
add up.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Engine

from kmdb_dagster.erasure.digests import ErasedIdentities
from kmdb_dagster.erasure.requests import extend_erasures
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake.files import atomic_write, translate_os_errors
from kmdb_dagster.lake.parquet_file import DamagedParquetError, damage_is_found, open_parquet, parquet_writer
from kmdb_dagster.lake.parsed import FORGOTTEN, KIND_CODES, SCHEMA

KEPT_COLUMNS = {"revision", "line"}
SEARCHED_COLUMNS = ["identity", "alias", "raw"]
RECORDS_PER_BATCH = 5000


class Redactor:
    """Redacts erased people from batches, and collects the alias lines that connect them with other identities.

    Attributes:
        erased: the identities to redact.
        edges: the alias edges seen so far, each an erased identity and one that is not.
        has_redacted: whether any record was redacted.
    """

    def __init__(self, digests: Iterable[bytes]) -> None:
        self.erased = ErasedIdentities(digests)
        self.edges: set[tuple[str, str]] = set()
        self.has_redacted = False

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch without the content of records that name an erased identity.

        Args:
            batch: records with some columns of `lake.parsed.SCHEMA`; ``identity`` must be one of them.
        """
        mask = self.find(batch)
        if not mask.any():
            return batch
        self.has_redacted = True
        columns = {name: batch.column(name) for name in batch.schema.names}
        return pa.RecordBatch.from_arrays(
            [_redacted(name, column, mask) for name, column in columns.items()], schema=batch.schema
        )

    def find(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return a mask of the records that name an erased identity. Shape: (records,)."""
        found = np.zeros(len(batch), np.bool_)
        if self.erased:
            columns = batch.schema.names
            ends = [self._find_identities(batch.column(name)) for name in ("identity", "alias") if name in columns]
            for mask in ends:
                found |= mask
            if len(ends) == 2:
                self._collect_edges(batch, *ends)
            if "raw" in columns:
                found |= self._find_lines(batch.column("raw"))
        return found

    def extend_erasures(self, engine: Engine, *, numeric_apart: bool) -> None:
        """Add the identities that `edges` connects with erased ones to the erasure list."""
        extend_erasures(engine, self.edges, numeric_apart=numeric_apart)

    def _find_identities(self, column: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - pyarrow's arrays are many classes
        encoded = column.dictionary_encode()
        hits = np.array([*(name in self.erased for name in encoded.dictionary.to_pylist()), False], np.bool_)
        found: NDArray[np.bool_] = hits[np.asarray(pc.fill_null(encoded.indices, len(hits) - 1))]
        return found

    def _find_lines(self, column: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - as above
        found = np.zeros(len(column), np.bool_)
        for row in np.flatnonzero(np.asarray(column.is_valid())):
            found[row] = self.erased.named_in(column[int(row)].as_py())
        return found

    def _collect_edges(self, batch: pa.RecordBatch, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
        identities, aliases = batch.column("identity"), batch.column("alias")
        for row in np.flatnonzero((one ^ other) & np.asarray(aliases.is_valid())).tolist():
            ends = identities[row].as_py(), aliases[row].as_py()
            self.edges.add(ends if one[row] else ends[::-1])


def rewrite_parquet(path: Path, redact: Redactor) -> bool:
    """Replace a Parquet file with a redacted one, atomically.

    Returns:
        Whether any record was redacted. If not, the file is left as it is.

    Raises:
        PermanentError: the file is damaged.
        TransientError: a run replaced the file in the meantime.
    """
    with translate_os_errors(path), _damage_reported(path):
        before = path.stat()
        file = open_parquet(path)
        if not _has_erased(file, redact):
            return False
        with atomic_write(path) as temporary:
            with parquet_writer(temporary, file.schema_arrow) as writer:
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(row_groups=[group]):
                        writer.write_batch(redact(batch))
            if path.stat() != before:
                raise TransientError(f"{path.name} was replaced by a run while it was being redacted.")
    return True


def _has_erased(file: pq.ParquetFile, redact: Redactor) -> bool:
    batches = file.iter_batches(batch_size=RECORDS_PER_BATCH, columns=SEARCHED_COLUMNS)
    # Read to the end, so that the redactor collects every alias edge.
    return sum(int(redact.find(batch).sum()) for batch in batches) > 0


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        with damage_is_found():
            yield
    except DamagedParquetError:
        raise PermanentError(
            f"{path} is damaged, so it cannot be searched for erased identities. Delete it, then run "
            "`kmdb forget --finish`."
        ) from None


def _redacted(name: str, column: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - as above
    if name in KEPT_COLUMNS:
        return column
    if name == "kind":
        codes = np.where(mask, KIND_CODES[FORGOTTEN], _codes(column)).astype(np.int8)
        return pa.DictionaryArray.from_arrays(codes, list(KIND_CODES))
    if name == "properties":
        return _without_properties(column, mask)
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)


def _codes(column: Any) -> NDArray[np.int8]:  # noqa: ANN401 - as above
    known = np.array([KIND_CODES[kind] for kind in column.dictionary.to_pylist()], np.int8)
    codes: NDArray[np.int8] = known[np.asarray(column.indices)]
    return codes


def _without_properties(column: Any, mask: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - as above
    offsets = np.asarray(column.offsets)
    counts = np.diff(offsets)
    kept = pa.array(np.arange(offsets[0], offsets[-1])[np.repeat(~mask, counts)])
    bounds = np.cumsum([0, *np.where(mask, 0, counts)], dtype=np.int32)
    map_type = SCHEMA.field("properties").type
    from_arrays: Any = pa.MapArray.from_arrays  # the stubs know 64-bit offsets only
    return from_arrays(pa.array(bounds), column.keys.take(kept), column.items.take(kept)).cast(map_type)

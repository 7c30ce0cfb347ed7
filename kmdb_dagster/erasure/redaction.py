"""Records of forgotten people taken out of a Parquet: a row stays for each, of kind ``forgotten``, that says nothing.

Without these rows the lines of a revision would no longer add up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kmdb_dagster.erasure.digests import Forgotten
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake.files import atomic_write, translate_os_errors
from kmdb_dagster.lake.parquet_file import DamagedParquetError, damage_is_found, open_parquet, parquet_writer
from kmdb_dagster.lake.parsed import FORGOTTEN, KIND_CODES, SCHEMA

KEPT = {"revision", "line"}
LOOKED_AT = ["identity", "alias", "raw"]
RECORDS = 5000


class Redactor:
    """Blots records out of batches. ``tied`` are the aliases among them: each a forgotten identity and another.

    ``found`` says whether there were any such records.
    """

    def __init__(self, forgotten: Forgotten) -> None:
        self._forgotten = forgotten
        self.tied: set[tuple[str, str]] = set()
        self.found = False

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without what names a forgotten person. Some columns may be missing, but ``identity``."""
        named = self.names(batch)
        if not named.any():
            return batch
        self.found = True
        columns = {name: batch.column(name) for name in batch.schema.names}
        return pa.RecordBatch.from_arrays(
            [_blotted(name, column, named) for name, column in columns.items()], schema=batch.schema
        )

    def names(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which records name a forgotten person."""
        found = np.zeros(len(batch), np.bool_)
        if self._forgotten:
            ends = [self._of_identities(batch.column(name)) for name in ("identity", "alias") if name in _names(batch)]
            for mask in ends:
                found |= mask
            if len(ends) == 2:
                self._note_ties(batch, *ends)
            if "raw" in _names(batch):
                found |= self._of_lines(batch.column("raw"))
        return found

    def _of_identities(self, column: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - pyarrow's arrays are many classes
        encoded = column.dictionary_encode()
        hits = np.array([*(name in self._forgotten for name in encoded.dictionary.to_pylist()), False], np.bool_)
        found: NDArray[np.bool_] = hits[np.asarray(pc.fill_null(encoded.indices, len(hits) - 1))]
        return found

    def _of_lines(self, column: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - as above
        found = np.zeros(len(column), np.bool_)
        for at in np.flatnonzero(np.asarray(column.is_valid())):
            found[at] = self._forgotten.named_in(column[int(at)].as_py())
        return found

    def _note_ties(self, batch: pa.RecordBatch, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
        identities, aliases = batch.column("identity"), batch.column("alias")
        for at in np.flatnonzero((one ^ other) & np.asarray(aliases.is_valid())).tolist():
            ends = identities[at].as_py(), aliases[at].as_py()
            self.tied.add(ends if one[at] else ends[::-1])


def rewrite(path: Path, redactor: Redactor) -> bool:
    """Blot forgotten people out of a Parquet that is there. Says whether there were any in it.

    Raises:
        TransientError: it was written anew meanwhile.
    """
    with translate_os_errors(path), _readable(path):
        seen = path.stat()
        file = open_parquet(path)
        if not _holds(file, redactor):
            return False
        with atomic_write(path) as temporary:
            with parquet_writer(temporary, file.schema_arrow) as writer:
                for group in range(file.num_row_groups):
                    for batch in file.iter_batches(row_groups=[group]):
                        writer.write_batch(redactor(batch))
            if path.stat() != seen:
                raise TransientError(f"{path.name} was written anew meanwhile.")
    return True


def _holds(file: pq.ParquetFile, redactor: Redactor) -> bool:
    batches = file.iter_batches(batch_size=RECORDS, columns=LOOKED_AT)
    # To the end, not only to the first: all of its aliases are to be met.
    return sum(int(redactor.names(batch).sum()) for batch in batches) > 0


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        with damage_is_found():
            yield
    except DamagedParquetError:
        raise PermanentError(f"{path} is damaged, so whom it names is not known. Delete it and try again.") from None


def _names(batch: pa.RecordBatch) -> list[str]:
    return batch.schema.names


def _blotted(name: str, column: Any, named: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - as above
    if name in KEPT:
        return column
    if name == "kind":
        codes = np.where(named, KIND_CODES[FORGOTTEN], _codes(column)).astype(np.int8)
        return pa.DictionaryArray.from_arrays(codes, list(KIND_CODES))
    if name == "properties":
        return _without_properties(column, named)
    return pc.if_else(pa.array(named), pa.scalar(None, column.type), column)


def _codes(column: Any) -> NDArray[np.int8]:  # noqa: ANN401 - as above
    known = np.array([KIND_CODES[kind] for kind in column.dictionary.to_pylist()], np.int8)
    codes: NDArray[np.int8] = known[np.asarray(column.indices)]
    return codes


def _without_properties(column: Any, named: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - as above
    offsets = np.asarray(column.offsets)
    counts = np.diff(offsets)
    kept = pa.array(np.arange(offsets[0], offsets[-1])[np.repeat(~named, counts)])
    bounds = np.cumsum([0, *np.where(named, 0, counts)], dtype=np.int32)
    map_type = SCHEMA.field("properties").type
    from_arrays: Any = pa.MapArray.from_arrays  # the stubs know 64-bit offsets only
    return from_arrays(pa.array(bounds), column.keys.take(kept), column.items.take(kept)).cast(map_type)

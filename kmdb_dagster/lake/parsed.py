"""The Parquet of a revision: its schema, and how it is written. `lake.parsed_batches` reads it.

One row for each record; a line that is an alias and an event has two. The schema is documented in
docs/reference/parquet.md. Its version is in every file: change the schema, the version and the page together.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from kmdb_dagster.km_export.columns import Columns, Texts
from kmdb_dagster.km_export.records import Alias, Blank, Event, PropertySet, Record, Rejected
from kmdb_dagster.lake.files import RawFile, atomic_write
from kmdb_dagster.lake.parquet_file import SCHEMA_VERSION, parquet_writer

SCHEMA = pa.schema(
    [
        pa.field("revision", pa.int32(), nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("t", pa.timestamp("ms", tz="UTC")),
        pa.field("identity", pa.string()),
        pa.field("name", pa.string()),
        pa.field("alias", pa.string()),
        pa.field("properties", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("raw", pa.binary()),
    ]
)

GROUP_RECORDS = 50_000
GROUP_BYTES = 16 * 1024 * 1024
"""A row group ends at whichever of the two limits comes first. So the memory while writing is bounded in bytes."""

NO_TIME = 0
"""In place of a time, for a line without one. The earliest time of a line is second 1."""

KINDS: dict[type[Record], str] = {
    Event: "event",
    PropertySet: "property_set",
    Alias: "alias",
    Rejected: "rejected",
    Blank: "blank",
}

FORGOTTEN = "forgotten"
"""The kind of a redacted record: see `erasure.redaction`."""

KIND_CODES = {kind: code for code, kind in enumerate([*KINDS.values(), FORGOTTEN])}

COUNTED_AS = {
    "event": "events",
    "property_set": "property_sets",
    "alias": "aliases",
    "rejected": "rejected",
    "blank": "blank",
    FORGOTTEN: FORGOTTEN,
}
"""The field of `LineCounts` for each kind."""


class LineCounts(NamedTuple):
    """Counts of a revision by outcome. ``properties`` counts values, the others count lines or records."""

    lines: int = 0
    events: int = 0
    property_sets: int = 0
    properties: int = 0
    aliases: int = 0
    rejected: int = 0
    blank: int = 0


Check = Callable[[Path, LineCounts], None]
"""Checks a Parquet file that is written and not yet in its place. If it raises, the file is deleted."""


Redact = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Removes erased people from a batch before it is written."""


def write_parsed(  # noqa: PLR0913 - the last three are for the pipeline alone
    path: Path,
    revision: int,
    raw: RawFile,
    records: Iterable[Columns | Record],
    *,
    check: Check | None = None,
    redact: Redact = lambda batch: batch,
    keep: Callable[[pa.RecordBatch], object] = lambda _: None,
) -> LineCounts:
    """Write the records of a revision as Parquet, atomically.

    Args:
        path: where the file goes.
        revision: its number.
        raw: the raw copy, whose ETag and size go into the file's metadata.
        records: the records of all lines, in order.
        check: called before the file takes its place.
        redact: removes erased people from each row group.
        keep: called with each row group as it is written.

    Returns:
        The counts of lines and records.
    """
    origin = {
        "kmdb.schema_version": SCHEMA_VERSION,
        "kmdb.revision": str(revision),
        "kmdb.etag": raw.etag or "",
        "kmdb.bytes": str(raw.size),
    }
    counts: Counter[str] = Counter()
    with atomic_write(path) as temporary:
        with parquet_writer(temporary, SCHEMA.with_metadata(origin)) as writer:
            for group in _groups(records, revision):
                batch = redact(group.batch())
                counts.update(_counted(batch))
                writer.write_batch(batch)
                keep(batch)
        line_counts = LineCounts(**{name: counts[name] for name in LineCounts._fields})
        if check is not None:
            check(temporary, line_counts)
    return line_counts


class _Group:
    """Collects the columns of a row group. The kind of a row follows from which of its texts are set: see `_kinds`."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._lines, self._times, self._counts = array("i"), array("q"), array("i")
        self._texts = {name: Texts() for name in ("identity", "name", "alias", "key", "value", "reason", "raw")}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def full(self) -> bool:
        return len(self) >= GROUP_RECORDS or sum(len(texts.data) for texts in self._texts.values()) >= GROUP_BYTES

    def add(self, found: Columns | Record) -> None:
        if isinstance(found, Columns):
            self._add_columns(found)
        else:
            self._add_record(found)

    def _add_columns(self, columns: Columns) -> None:
        count = len(columns.times)
        self._lines.extend(range(columns.first, columns.first + count))
        self._times += columns.times
        self._counts += columns.counts
        self._texts["identity"].extend(columns.identities)
        self._texts["name"].extend(columns.names)
        self._texts["alias"].extend(columns.aliases)
        self._texts["key"].extend(columns.keys)
        self._texts["value"].extend(columns.values)
        self._texts["reason"].skip(count)
        self._texts["raw"].skip(count)

    def _add_record(self, record: Record) -> None:
        fields = record._asdict()
        properties = fields.get("properties", {})
        self._lines.append(record.line)
        self._times.append(fields.get("t", NO_TIME))
        self._counts.append(len(properties))
        for name in ("identity", "name", "alias", "reason", "raw"):
            self._texts[name].append(fields.get(name))
        for key, value in properties.items():
            self._texts["key"].append(key)
            self._texts["value"].append(value if isinstance(value, str) else value.text)

    def batch(self) -> pa.RecordBatch:
        times = np.asarray(self._times)
        arrays: dict[str, Any] = {
            "revision": pa.repeat(pa.scalar(self._revision, pa.int32()), len(self)),
            "line": pa.array(np.asarray(self._lines)),
            "kind": self._kinds(),
            "t": pa.array(times * 1000, pa.int64(), mask=times == NO_TIME).cast(SCHEMA.field("t").type),
            **{name: _strings(self._texts[name], pa.string()) for name in ("identity", "name", "alias", "reason")},
            "raw": _strings(self._texts["raw"], pa.binary()),
        }
        arrays["properties"] = pa.MapArray.from_arrays(
            pa.array(_offsets(np.asarray(self._counts))),
            _strings(self._texts["key"], pa.string()),
            _strings(self._texts["value"], pa.string()),
        )
        return pa.RecordBatch.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)

    def _kinds(self) -> "pa.DictionaryArray[Any, Any]":
        """Return the kind of each row: rejected has a reason, blank no identity, alias an alias, event a name."""
        has_reason, has_identity, has_alias, has_name = (
            _there(self._texts[name]) for name in ("reason", "identity", "alias", "name")
        )
        kinds = [KIND_CODES[kind] for kind in ("rejected", "blank", "alias", "event")]
        codes = np.select([has_reason, ~has_identity, has_alias, has_name], kinds, KIND_CODES["property_set"])
        return pa.DictionaryArray.from_arrays(codes.astype(np.int8), list(KIND_CODES))


def _strings(texts: Texts, kind: pa.DataType) -> "pa.Array[Any]":
    """Return texts as an Arrow array. Their bytes are not copied."""
    there = np.packbits(_there(texts), bitorder="little")
    offsets = _offsets(np.maximum(np.asarray(texts.lengths), 0))
    buffers = [pa.py_buffer(there.data), pa.py_buffer(offsets.data), pa.py_buffer(texts.data)]
    strings = pa.Array.from_buffers(kind, len(texts.lengths), [*buffers])
    strings.validate()  # the lengths must add up to the bytes
    return strings


def _there(texts: Texts) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return np.asarray(texts.lengths) >= 0


def _offsets(lengths: "np.ndarray[Any, np.dtype[np.int32]]") -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Return the start of each item, and the end of the last one. Shape: (items + 1,)."""
    return np.concatenate(([0], lengths)).cumsum(dtype=np.int32)


def _groups(records: Iterable[Columns | Record], revision: int) -> Iterator[_Group]:
    """Yield records in row groups. The two records of one line stay in the same group."""
    group, last = _Group(revision), 0
    for found in records:
        line = found.first if isinstance(found, Columns) else found.line
        if group.full and line != last:
            yield group
            group = _Group(revision)
        group.add(found)
        last = line
    if group:
        yield group


def _counted(batch: pa.RecordBatch) -> dict[str, int]:
    """Return the counts of a row group, with the field names of `LineCounts`."""
    kinds: Any = batch.column("kind")
    properties: Any = batch.column("properties")
    rows = np.bincount(kinds.indices, minlength=len(KIND_CODES)).tolist()
    counts = {COUNTED_AS[kind]: rows[code] for kind, code in KIND_CODES.items()}
    lines = np.count_nonzero(np.diff(batch.column("line"), prepend=0))
    return {**counts, "lines": int(lines), "properties": len(properties.keys)}

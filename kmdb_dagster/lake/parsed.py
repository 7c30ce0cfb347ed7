"""The Parquet of a revision: its schema, how it is written, how it is read back.

One row a record; a line that is an alias and an event has two. The schema is documented in
docs/reference/parquet.md and has a number, which stands in every file: change one, change the other.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.columns import Columns, Texts
from kmdb_dagster.km_export.records import Alias, Blank, Event, PropertySet, Record, Rejected
from kmdb_dagster.lake.files import RawFile, atomic_write, translate_os_errors
from kmdb_dagster.lake.parquet_file import (
    SCHEMA_VERSION,
    DamagedParquetError,
    damage_is_found,
    open_parquet,
    parquet_writer,
)

READABLE_VERSIONS = {"1", SCHEMA_VERSION}

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
"""A row group ends at the first of these: what is held in memory while writing is bounded by bytes."""

NO_TIME = 0
"""Stands for the time of a line that has none; of those that have one the first second is 1."""

KINDS: dict[type[Record], str] = {
    Event: "event",
    PropertySet: "property_set",
    Alias: "alias",
    Rejected: "rejected",
    Blank: "blank",
}

FORGOTTEN = "forgotten"
"""The kind of a record that was taken out: see ``blotting``."""

KIND_CODES = {kind: code for code, kind in enumerate([*KINDS.values(), FORGOTTEN])}

COUNTED_AS = {
    "event": "events",
    "property_set": "property_sets",
    "alias": "aliases",
    "rejected": "rejected",
    "blank": "blank",
    FORGOTTEN: FORGOTTEN,
}
"""The kinds, as LineCounts names them."""


class LineCounts(NamedTuple):
    """What became of the lines of a revision. ``properties`` counts values, the others count lines or records."""

    lines: int = 0
    events: int = 0
    property_sets: int = 0
    properties: int = 0
    aliases: int = 0
    rejected: int = 0
    blank: int = 0


Check = Callable[[Path, LineCounts], None]
"""Looks at a Parquet, which is written but not in its place yet. What it raises keeps it from going there."""


Change = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Changes records on their way into a Parquet."""


def write_parsed(  # noqa: PLR0913 - the last two are for the pipeline alone
    path: Path,
    revision: int,
    raw: RawFile,
    told: Iterable[Columns | Record],
    *,
    check: Check | None = None,
    redact: Change = lambda batch: batch,
) -> LineCounts:
    """Write what the lines of a revision say, as a whole or not at all."""
    origin = {
        "kmdb.schema_version": SCHEMA_VERSION,
        "kmdb.revision": str(revision),
        "kmdb.etag": raw.etag or "",
        "kmdb.bytes": str(raw.size),
    }
    counts: Counter[str] = Counter()
    with atomic_write(path) as temporary:
        with parquet_writer(temporary, SCHEMA.with_metadata(origin)) as writer:
            for group in _groups(told, revision):
                batch = redact(group.batch())
                counts.update(_counted(batch))
                writer.write_batch(batch)
        tally = LineCounts(**{name: counts[name] for name in LineCounts._fields})
        if check is not None:
            check(temporary, tally)
    return tally


class ParsedFile:
    """The Parquet of a revision, to be read."""

    def __init__(self, path: Path, revision: int) -> None:
        if not path.exists():
            raise PermanentError(
                f"Revision {revision} is not parsed: {path.name} is not there. Materialize parsed_events first."
            )
        self._path = path
        self._damaged = (
            f"The Parquet of revision {revision} is damaged. Materialize parsed_events of revision {revision} again."
        )
        with translate_os_errors(path), self._damage_in_words():
            self._file = open_parquet(path)
        origin = self._file.schema_arrow.metadata or {}
        version = origin.get(b"kmdb.schema_version", b"none").decode()
        if version not in READABLE_VERSIONS:
            raise PermanentError(
                f"{path.name} has schema version {version}; this program writes {SCHEMA_VERSION}. "
                f"Materialize parsed_events of revision {revision} again."
            )
        self.etag = origin[b"kmdb.etag"].decode() or None
        self.size = int(origin[b"kmdb.bytes"])

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records in order, at most ``size`` at a time and not beyond a row group, which is bounded by bytes."""
        with translate_os_errors(self._path), self._damage_in_words():
            for group in range(self._file.num_row_groups):
                yield from self._file.iter_batches(batch_size=size, row_groups=[group], columns=columns)

    @contextmanager
    def _damage_in_words(self) -> Iterator[None]:
        try:
            with damage_is_found():
                yield
        except DamagedParquetError as error:
            raise PermanentError(self._damaged) from error


class _Group:
    """The columns of a row group in the making. A row is what its texts make it: see `_kinds`."""

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
        """A rejected line has a reason, a blank one no identity, an alias another identity, and an event a name."""
        rejected, named, tied, happened = (
            _there(self._texts[name]) for name in ("reason", "identity", "alias", "name")
        )
        kinds = [KIND_CODES[kind] for kind in ("rejected", "blank", "alias", "event")]
        codes = np.select([rejected, ~named, tied, happened], kinds, KIND_CODES["property_set"])
        return pa.DictionaryArray.from_arrays(codes.astype(np.int8), list(KIND_CODES))


def _strings(texts: Texts, kind: pa.DataType) -> "pa.Array[Any]":
    """Texts as Arrow has them. Their bytes are not copied, so that they must be as many as their lengths say."""
    there = np.packbits(_there(texts), bitorder="little")
    offsets = _offsets(np.maximum(np.asarray(texts.lengths), 0))
    buffers = [pa.py_buffer(there.data), pa.py_buffer(offsets.data), pa.py_buffer(texts.data)]
    strings = pa.Array.from_buffers(kind, len(texts.lengths), [*buffers])
    strings.validate()
    return strings


def _there(texts: Texts) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return np.asarray(texts.lengths) >= 0


def _offsets(lengths: "np.ndarray[Any, np.dtype[np.int32]]") -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Where each of some things that follow one another begins, and where the last one ends."""
    return np.concatenate(([0], lengths)).cumsum(dtype=np.int32)


def _groups(told: Iterable[Columns | Record], revision: int) -> Iterator[_Group]:
    """What lines say, in row groups. The two records of one line stay together."""
    group, last = _Group(revision), 0
    for found in told:
        line = found.first if isinstance(found, Columns) else found.line
        if group.full and line != last:
            yield group
            group = _Group(revision)
        group.add(found)
        last = line
    if group:
        yield group


def _counted(batch: pa.RecordBatch) -> dict[str, int]:
    """What becomes of the lines of a group, as `LineCounts` names it."""
    kinds: Any = batch.column("kind")
    properties: Any = batch.column("properties")
    rows = np.bincount(kinds.indices, minlength=len(KIND_CODES)).tolist()
    counts = {COUNTED_AS[kind]: rows[code] for kind, code in KIND_CODES.items()}
    lines = np.count_nonzero(np.diff(batch.column("line"), prepend=0))
    return {**counts, "lines": int(lines), "properties": len(properties.keys)}

"""The Parquet of a revision: its schema, how it is written, how it is read back.

One row a record; a line that is an alias and an event has two. The schema is documented in
docs/parquet.md and has a number, which stands in every file: change one, change the other.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.records import Alias, Blank, Event, PropertySet, Record, Rejected, Value
from kmdb_dagster.lake.files import RawFile, whole_file

SCHEMA_VERSION = "1"

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

KINDS: dict[type[Record], str] = {
    Event: "event",
    PropertySet: "property_set",
    Alias: "alias",
    Rejected: "rejected",
    Blank: "blank",
}


class Tally(NamedTuple):
    """What became of the lines of a revision. ``properties`` counts values, the others count lines or records."""

    lines: int = 0
    events: int = 0
    property_sets: int = 0
    properties: int = 0
    aliases: int = 0
    rejected: int = 0
    blank: int = 0


class ParsedRow(NamedTuple):
    """A row of the Parquet as the loader wants it. ``t`` is a naive datetime in UTC."""

    line: int
    kind: str
    t: datetime | None
    identity: str | None
    name: str | None
    alias: str | None
    properties: list[tuple[str, str | None]]
    reason: str | None
    raw: bytes | None


Check = Callable[[Path, Tally], None]
"""Looks at a Parquet, which is written but not in its place yet. What it raises keeps it from going there."""


def write_parsed(
    path: Path, revision: int, raw: RawFile, records: Iterable[Record], *, check: Check | None = None
) -> Tally:
    """Write the records of a revision, as a whole or not at all."""
    origin = {
        "kmdb.schema_version": SCHEMA_VERSION,
        "kmdb.revision": str(revision),
        "kmdb.etag": raw.etag or "",
        "kmdb.bytes": str(raw.size),
    }
    counts = dict.fromkeys(Tally._fields, 0)
    with whole_file(path) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA.with_metadata(origin), compression="zstd") as writer:
            for group in _groups(records, revision):
                group.add_to(counts)
                writer.write_batch(group.batch())
        tally = Tally(**counts)
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
        self._file = _opened(path, revision)
        origin = self._file.schema_arrow.metadata or {}
        version = origin.get(b"kmdb.schema_version", b"none").decode()
        if version != SCHEMA_VERSION:
            raise PermanentError(
                f"{path.name} has schema version {version}; this program writes {SCHEMA_VERSION}. "
                f"Materialize parsed_events of revision {revision} again."
            )
        self.etag = origin[b"kmdb.etag"].decode() or None
        self.size = int(origin[b"kmdb.bytes"])

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records in order, at most ``size`` at a time."""
        return self._file.iter_batches(batch_size=size, columns=columns)

    def rows(self, size: int) -> Iterator[list[ParsedRow]]:
        """The records in order as rows, at most ``size`` at a time."""
        for batch in self.batches(size):
            columns = {name: batch.column(name) for name in ParsedRow._fields}
            columns["t"] = columns["t"].cast(pa.timestamp("s"))
            yield list(map(ParsedRow, *(columns[name].to_pylist() for name in ParsedRow._fields)))


def _opened(path: Path, revision: int) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError):
        raise PermanentError(
            f"{path.name} is damaged. Materialize parsed_events of revision {revision} again."
        ) from None


class _Group:
    """The columns of a row group in the making."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._rows: list[tuple[int, str, int | None, str | None, str | None, str | None, str | None, bytes | None]] = []
        self._offsets = [0]
        self._keys: list[str] = []
        self._values: list[str | None] = []
        self._first_line = self._last_line = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def full(self) -> bool:
        return len(self._rows) >= GROUP_RECORDS or self._bytes >= GROUP_BYTES

    def add(self, record: Record) -> None:
        kind = KINDS[type(record)]
        match record:
            case Event(line, identity, t, name, properties):
                self._rows.append((line, kind, t * 1000, identity, name, None, None, None))
                self._bytes += len(identity) + len(name)
                self._add_properties(properties)
            case PropertySet(line, identity, t, properties):
                self._rows.append((line, kind, t * 1000, identity, None, None, None, None))
                self._bytes += len(identity)
                self._add_properties(properties)
            case Alias(line, identity, alias, t):
                self._rows.append((line, kind, t * 1000, identity, None, alias, None, None))
                self._bytes += len(identity) + len(alias)
            case Rejected(line, reason, raw):
                self._rows.append((line, kind, None, None, None, None, reason.value, raw))
                self._bytes += len(raw)
            case Blank(line):
                self._rows.append((line, kind, None, None, None, None, None, None))
        self._offsets.append(len(self._keys))

    def _add_properties(self, properties: dict[str, Value]) -> None:
        for key, value in properties.items():
            text = value if isinstance(value, str) else value.text
            self._keys.append(key)
            self._values.append(text)
            self._bytes += len(key) + len(text or "")

    def add_to(self, counts: dict[str, int]) -> None:
        kinds = [row[1] for row in self._rows]
        counts["lines"] += len({row[0] for row in self._rows})
        counts["events"] += kinds.count("event")
        counts["property_sets"] += kinds.count("property_set")
        counts["aliases"] += kinds.count("alias")
        counts["rejected"] += kinds.count("rejected")
        counts["blank"] += kinds.count("blank")
        counts["properties"] += len(self._keys)

    def batch(self) -> pa.RecordBatch:
        lines, kinds, times, identities, names, aliases, reasons, raws = zip(*self._rows, strict=True)
        columns = {
            "revision": [self._revision] * len(self),
            "line": lines,
            "kind": kinds,
            "t": times,
            "identity": identities,
            "name": names,
            "alias": aliases,
            "reason": reasons,
            "raw": raws,
        }
        properties = pa.MapArray.from_arrays(  # type: ignore[call-overload]  # the stubs know 64-bit offsets only
            pa.array(self._offsets, pa.int32()), pa.array(self._keys, pa.string()), pa.array(self._values, pa.string())
        )
        arrays = [
            properties if field.name == "properties" else pa.array(columns[field.name], field.type) for field in SCHEMA
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _groups(records: Iterable[Record], revision: int) -> Iterator[_Group]:
    """The records in row groups. The two records of one line stay together."""
    group, last = _Group(revision), 0
    for record in records:
        if group.full and record.line != last:
            yield group
            group = _Group(revision)
        group.add(record)
        last = record.line
    if group:
        yield group

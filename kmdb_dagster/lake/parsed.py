"""The Parquet of a revision: its schema, how it is written, how it is read back.

One row a record; a line that is an alias and an event has two. The schema is documented in
docs/parquet.md and has a number, which stands in every file: change one, change the other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

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


COUNTED_AS = {
    "event": "events",
    "property_set": "property_sets",
    "alias": "aliases",
    "rejected": "rejected",
    "blank": "blank",
}
"""The kinds, as Tally names them."""

LAYOUT: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    # Where the same few values come again; in the other columns a dictionary would be filled and then given up.
    "use_dictionary": ["revision", "kind", "name", "properties.key_value.key", "reason"],
    "write_statistics": ["line", "t"],
}
"""Two thirds of the time of pyarrow's defaults, and files 2 % larger (measured on sample lines)."""


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
    counts: Counter[str] = Counter()
    with whole_file(path) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA.with_metadata(origin), **LAYOUT) as writer:
            for group in _groups(records, revision):
                group.add_to(counts)
                writer.write_batch(group.batch())
        tally = Tally(**{name: counts[name] for name in Tally._fields})
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
        """The records in order, at most ``size`` at a time and not beyond a row group, which is bounded by bytes."""
        for group in range(self._file.num_row_groups):
            yield from self._file.iter_batches(batch_size=size, row_groups=[group], columns=columns)

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
    """The columns of a row group in the making. Without a Python object for each row: that would double the time."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._line: list[int] = []
        self._kind: list[str] = []
        self._t: list[int | None] = []
        self._identity: list[str | None] = []
        self._name: list[str | None] = []
        self._rare: dict[str, dict[int, str | bytes]] = {"alias": {}, "reason": {}, "raw": {}}
        self._offsets = [0]
        self._keys: list[str] = []
        self._values: list[str | None] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._line)

    @property
    def full(self) -> bool:
        return len(self._line) >= GROUP_RECORDS or self._bytes >= GROUP_BYTES

    def add(self, record: Record) -> None:
        if isinstance(record, Event):
            line, identity, t, name, properties = record
            self._add_row(line, "event", t * 1000, identity, name)
            self._add_properties(properties)
        elif isinstance(record, PropertySet):
            line, identity, t, properties = record
            self._add_row(line, "property_set", t * 1000, identity, None)
            self._add_properties(properties)
        elif isinstance(record, Alias):
            self._add_rare(alias=record.alias)
            self._add_row(record.line, "alias", record.t * 1000, record.identity, None)
        elif isinstance(record, Rejected):
            self._add_rare(reason=record.reason.value, raw=record.raw)
            self._add_row(record.line, "rejected", None, None, None)
        else:
            self._add_row(record.line, "blank", None, None, None)
        self._offsets.append(len(self._keys))

    def _add_row(self, line: int, kind: str, t: int | None, identity: str | None, name: str | None) -> None:
        self._line.append(line)
        self._kind.append(kind)
        self._t.append(t)
        self._identity.append(identity)
        self._name.append(name)
        self._bytes += len(identity or "") + len(name or "")

    def _add_rare(self, **cells: str | bytes) -> None:
        for name, cell in cells.items():
            self._rare[name][len(self)] = cell
            self._bytes += len(cell)

    def _add_properties(self, properties: dict[str, Value]) -> None:
        texts = [value if isinstance(value, str) else value.text for value in properties.values()]
        self._keys += properties
        self._values += texts
        self._bytes += sum(map(len, properties)) + sum(map(len, filter(None, texts)))

    def add_to(self, counts: Counter[str]) -> None:
        counts.update(COUNTED_AS[kind] for kind in self._kind)
        counts["lines"] += len(set(self._line))
        counts["properties"] += len(self._keys)

    def batch(self) -> pa.RecordBatch:
        columns: dict[str, list[Any]] = {
            "revision": [self._revision] * len(self),
            "line": self._line,
            "kind": self._kind,
            "t": self._t,
            "identity": self._identity,
            "name": self._name,
            **{name: [cells.get(place) for place in range(len(self))] for name, cells in self._rare.items()},
        }
        arrays: dict[str, Any] = {name: pa.array(cells, SCHEMA.field(name).type) for name, cells in columns.items()}
        arrays["properties"] = pa.MapArray.from_arrays(  # type: ignore[call-overload]  # the stubs know 64-bit offsets only
            pa.array(self._offsets, pa.int32()), pa.array(self._keys, pa.string()), pa.array(self._values, pa.string())
        )
        return pa.RecordBatch.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


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

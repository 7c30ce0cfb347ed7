"""The Parquet of a revision: its schema, how it is written, how it is read back.

One row a record; a line that is an alias and an event has two. The schema is documented in
docs/parquet.md and has a number, which stands in every file: change one, change the other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.export.records import Alias, Blank, Event, Facts, PropertySet, Record, Rejected, Value
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

KIND_CODES = {kind: code for code, kind in enumerate(KINDS.values())}

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
    path: Path, revision: int, raw: RawFile, told: Iterable[Facts | Record], *, check: Check | None = None
) -> Tally:
    """Write what the lines of a revision say, as a whole or not at all."""
    origin = {
        "kmdb.schema_version": SCHEMA_VERSION,
        "kmdb.revision": str(revision),
        "kmdb.etag": raw.etag or "",
        "kmdb.bytes": str(raw.size),
    }
    counts: Counter[str] = Counter()
    with whole_file(path) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA.with_metadata(origin), **LAYOUT) as writer:
            for group in _groups(told, revision):
                batch = group.batch()
                counts.update(_counted(batch))
                writer.write_batch(batch)
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
    """The columns of a row group in the making: long lists, since an object for each row would double the time."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._line: list[int] = []
        self._t: list[int | None] = []
        self._identity: list[str | None] = []
        self._name: list[str | None] = []
        self._counts: list[int] = []
        self._keys: list[str] = []
        self._values: list[str | None] = []
        # What only few rows have, by the place of the row. A row without a kind here is a fact.
        self._kind: dict[int, str] = {}
        self._rare: dict[str, dict[int, str | bytes]] = {"alias": {}, "reason": {}, "raw": {}}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._line)

    @property
    def full(self) -> bool:
        return len(self) >= GROUP_RECORDS or self._bytes >= GROUP_BYTES

    def add(self, found: Facts | Record) -> None:
        if isinstance(found, Facts):
            self._add_facts(found)
        elif isinstance(found, Event):
            self._add_row(found.line, found.t, found.identity, found.name, found.properties)
        elif isinstance(found, PropertySet):
            self._add_row(found.line, found.t, found.identity, None, found.properties)
        elif isinstance(found, Alias):
            self._note("alias", alias=found.alias)
            self._add_row(found.line, found.t, found.identity, None, {})
        elif isinstance(found, Rejected):
            self._note("rejected", reason=found.reason.value, raw=found.raw)
            self._add_row(found.line, None, None, None, {})
        else:
            self._note("blank")
            self._add_row(found.line, None, None, None, {})

    def _add_facts(self, facts: Facts) -> None:
        self._line += range(facts.first, facts.first + len(facts.times))
        self._t += facts.times
        self._identity += facts.identities
        self._name += facts.names
        self._counts += facts.counts
        self._keys += facts.keys
        self._values += facts.values
        self._bytes += facts.size

    def _add_row(
        self, line: int, t: int | None, identity: str | None, name: str | None, properties: dict[str, Value]
    ) -> None:
        texts = [value if isinstance(value, str) else value.text for value in properties.values()]
        self._line.append(line)
        self._t.append(t)
        self._identity.append(identity)
        self._name.append(name)
        self._counts.append(len(properties))
        self._keys += properties
        self._values += texts
        self._bytes += sum(map(len, filter(None, (identity, name, *properties, *texts))))

    def _note(self, kind: str, **cells: str | bytes) -> None:
        """Remember what the next row is, and what it has that others have not."""
        self._kind[len(self)] = kind
        for name, cell in cells.items():
            self._rare[name][len(self)] = cell
            self._bytes += len(cell)

    def batch(self) -> pa.RecordBatch:
        names = pa.array(self._name, pa.string())
        arrays: dict[str, Any] = {
            "revision": pa.repeat(pa.scalar(self._revision, pa.int32()), len(self)),
            "line": pa.array(self._line, pa.int32()),
            "kind": self._kinds(names),
            "t": pa.array(self._t, pa.int64()).cast(pa.timestamp("s", "UTC")).cast(SCHEMA.field("t").type),
            "identity": pa.array(self._identity, pa.string()),
            "name": names,
            **{name: self._sparse(cells, SCHEMA.field(name).type) for name, cells in self._rare.items()},
        }
        arrays["properties"] = pa.MapArray.from_arrays(  # type: ignore[call-overload]  # the stubs know 64-bit offsets only
            pa.array(np.cumsum([0, *self._counts], dtype=np.int32)),
            pa.array(self._keys, pa.string()),
            pa.array(self._values, pa.string()),
        )
        return pa.RecordBatch.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)

    def _kinds(self, names: pa.StringArray) -> "pa.DictionaryArray[Any, Any]":
        codes = np.where(np.asarray(names.is_null()), KIND_CODES["property_set"], KIND_CODES["event"]).astype(np.int8)
        codes[list(self._kind)] = [KIND_CODES[kind] for kind in self._kind.values()]
        return pa.DictionaryArray.from_arrays(codes, list(KIND_CODES))

    def _sparse(self, cells: dict[int, str | bytes], kind: pa.DataType) -> "pa.Array[Any]":
        column: list[str | bytes | None] = [None] * len(self)
        for place, cell in cells.items():
            column[place] = cell
        return pa.array(column, kind)


def _groups(told: Iterable[Facts | Record], revision: int) -> Iterator[_Group]:
    """What lines say, in row groups. The two records of one line stay together."""
    group, last = _Group(revision), 0
    for found in told:
        line = found.first if isinstance(found, Facts) else found.line
        if group.full and line != last:
            yield group
            group = _Group(revision)
        group.add(found)
        last = line
    if group:
        yield group


def _counted(batch: pa.RecordBatch) -> dict[str, int]:
    """What becomes of the lines of a group, as `Tally` names it."""
    kinds: Any = batch.column("kind")
    properties: Any = batch.column("properties")
    rows = np.bincount(kinds.indices, minlength=len(KIND_CODES)).tolist()
    counts = {COUNTED_AS[kind]: rows[code] for kind, code in KIND_CODES.items()}
    return {**counts, "lines": len(np.unique(batch.column("line"))), "properties": len(properties.keys)}

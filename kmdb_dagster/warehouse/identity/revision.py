"""What revisions say of people: names and identities interned, aliases stored, the map brought up to date."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from kmdb_dagster.lake import ParsedRevision
from kmdb_dagster.warehouse.connection.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.aliases import AliasFile, AliasLine, replace_aliases
from kmdb_dagster.warehouse.identity.erasure_list import MakeRedactor, Redactor
from kmdb_dagster.warehouse.interning.interning import intern_identities, intern_keys
from kmdb_dagster.warehouse.schema.row_ids import row_id

COLUMNS = ["line", "kind", "t", "identity", "name", "alias", "properties"]

MAX_NAMES = 50_000
"""How many distinct names are collected before they are interned. A group of revisions mostly has some thousands."""


class ResolveCounts(NamedTuple):
    """What came of a revision: alias lines, and identities that got another person."""

    aliases: int
    changed: int


def resolve_revisions(
    warehouse: Warehouse,
    group: Sequence[ParsedRevision],
    *,
    batch_size: int,
    make_redactor: MakeRedactor,
    numeric_apart: bool = False,
) -> dict[int, ResolveCounts]:
    """Bring the user map up to date with a group of revisions. Doing it again changes nothing.

    Args:
        warehouse: the warehouse.
        group: the revisions.
        batch_size: records that are read from a Parquet file at a time.
        make_redactor: makes what removes erased people, from their digests.
        numeric_apart: KMDB_NUMERIC_APART.
    """
    erased = warehouse.erased_digests()
    redact = make_redactor(erased)
    names = _Names(warehouse.engine)
    files = [
        AliasFile(parsed.revision, parsed.etag, _read(parsed, batch_size, redact, names))
        for parsed in sorted(group, key=lambda parsed: parsed.revision)
    ]
    names.intern()
    redact.extend_erasures(warehouse.engine, numeric_apart=numeric_apart)
    changed = replace_aliases(
        warehouse.engine,
        files,
        numeric_apart=numeric_apart,
        erased=erased,
        leftovers=warehouse.leftover_aliases,
    )
    return {file.revision: ResolveCounts(len(file.lines), changed[file.revision]) for file in files}


class _Names:
    """Collects the names of a group of revisions, so that they are interned together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys: set[str] = set()
        self._identities: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the names of a batch."""
        properties: Any = batch.column("properties")
        self._keys |= _distinct(batch.column("name")) | _distinct(properties.keys)
        self._identities |= _distinct(batch.column("identity")) | _distinct(batch.column("alias"))
        if len(self._keys) + len(self._identities) > MAX_NAMES:
            self.intern()

    def intern(self) -> None:
        """Intern what is collected."""
        intern_keys(self._engine, self._keys)
        intern_identities(self._engine, self._identities)
        self._keys, self._identities = set(), set()


def _read(parsed: ParsedRevision, batch_size: int, redact: Redactor, names: _Names) -> list[AliasLine]:
    """Add the names of a revision, and return its alias lines."""
    lines: list[AliasLine] = []
    for batch in map(redact, parsed.batches(batch_size, columns=COLUMNS)):
        names.add(batch)
        lines.extend(_alias_lines(batch, parsed.revision))
    return lines


def _distinct(column: Any) -> set[str]:  # noqa: ANN401 - pyarrow's arrays are many classes
    return {name for name in column.unique().to_pylist() if name is not None}


def _alias_lines(batch: pa.RecordBatch, revision: int) -> Iterator[AliasLine]:
    aliases = batch.filter(pc.equal(batch.column("kind").cast(pa.string()), pa.scalar("alias")))
    columns = (aliases.column("line"), aliases.column("t").cast(pa.timestamp("s")))
    names = (aliases.column("identity"), aliases.column("alias"))
    for line, *rest in zip(*(column.to_pylist() for column in (*columns, *names)), strict=True):
        yield AliasLine(row_id(revision, line), *rest)

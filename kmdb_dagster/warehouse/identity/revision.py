"""What a revision says of people: its names and identities interned, its aliases stored, the map brought up to date."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kmdb_dagster.lake import ParsedFile
from kmdb_dagster.warehouse.connection.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.aliases import AliasLine, replace_aliases
from kmdb_dagster.warehouse.identity.erasure_list import MakeRedactor
from kmdb_dagster.warehouse.interning.interning import intern_identities, intern_keys
from kmdb_dagster.warehouse.schema.tables import row_id

COLUMNS = ["line", "kind", "t", "identity", "name", "alias", "properties"]


class ResolveCounts(NamedTuple):
    """What came of it: alias lines, identities that got another person."""

    aliases: int
    changed: int


def resolve_revision(  # noqa: PLR0913 - what a resolution depends on
    warehouse: Warehouse,
    revision: int,
    parsed: ParsedFile,
    *,
    batch_size: int,
    make_redactor: MakeRedactor,
    numeric_apart: bool = False,
) -> ResolveCounts:
    """Bring the user map up to date with a revision. Doing it again changes nothing."""
    erased = warehouse.erased_digests()
    redact = make_redactor(erased)
    lines: list[AliasLine] = []
    for batch in map(redact, parsed.batches(batch_size, columns=COLUMNS)):
        _intern(warehouse, batch)
        lines.extend(_alias_lines(batch, revision))
    redact.extend_erasures(warehouse.engine, numeric_apart=numeric_apart)
    changed = replace_aliases(
        warehouse.engine,
        revision,
        parsed.etag,
        lines,
        numeric_apart=numeric_apart,
        erased=erased,
        leftovers=warehouse.leftover_aliases,
    )
    return ResolveCounts(len(lines), changed)


def _intern(warehouse: Warehouse, batch: pa.RecordBatch) -> None:
    properties: Any = batch.column("properties")
    intern_keys(warehouse.engine, _distinct(batch.column("name")) | _distinct(properties.keys))
    intern_identities(warehouse.engine, _distinct(batch.column("identity")) | _distinct(batch.column("alias")))


def _distinct(column: Any) -> set[str]:  # noqa: ANN401 - pyarrow's arrays are many classes
    return {name for name in column.unique().to_pylist() if name is not None}


def _alias_lines(batch: pa.RecordBatch, revision: int) -> Iterator[AliasLine]:
    aliases = batch.filter(pc.equal(batch.column("kind").cast(pa.string()), pa.scalar("alias")))
    columns = (aliases.column("line"), aliases.column("t").cast(pa.timestamp("s")))
    names = (aliases.column("identity"), aliases.column("alias"))
    for line, *rest in zip(*(column.to_pylist() for column in (*columns, *names)), strict=True):
        yield AliasLine(row_id(revision, line), *rest)

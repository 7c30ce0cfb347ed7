"""What a revision says of people: its names and identities interned, its aliases stored, the map brought up to date."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kmdb_dagster.lake import Blotter, ParsedFile
from kmdb_dagster.warehouse.models import row_id
from kmdb_dagster.warehouse.people.aliases import Tie, replace_aliases
from kmdb_dagster.warehouse.warehouse import Warehouse

COLUMNS = ["line", "kind", "t", "identity", "name", "alias", "properties"]


class Tied(NamedTuple):
    """What came of it: alias lines, identities that got another person."""

    aliases: int
    changed: int


def tie_revision(
    warehouse: Warehouse, revision: int, parsed: ParsedFile, *, batch_size: int, numeric_apart: bool = False
) -> Tied:
    """Bring the user map up to date with a revision. Doing it again changes nothing."""
    interner, forgotten = warehouse.interner(), warehouse.forgotten()
    blot = Blotter(forgotten)
    ties: list[Tie] = []
    for batch in map(blot, parsed.batches(batch_size, columns=COLUMNS)):
        properties: Any = batch.column("properties")
        interner.key_ids(_distinct(batch.column("name")) | _distinct(properties.keys))
        identities = interner.user_ids(_distinct(batch.column("identity")) | _distinct(batch.column("alias")))
        ties.extend(_ties(batch, revision, identities))
    warehouse.forget_tied(blot.tied, numeric_apart=numeric_apart)
    changed = replace_aliases(
        warehouse.engine, interner.generation, revision, ties, numeric_apart=numeric_apart, forgotten=forgotten
    )
    return Tied(len(ties), changed)


def _distinct(column: Any) -> set[str]:  # noqa: ANN401 - pyarrow's arrays are many classes
    return {name for name in column.unique().to_pylist() if name is not None}


def _ties(batch: pa.RecordBatch, revision: int, identities: dict[str, int]) -> Iterator[Tie]:
    aliases = batch.filter(pc.equal(batch.column("kind").cast(pa.string()), pa.scalar("alias")))
    columns = (aliases.column("line"), aliases.column("t").cast(pa.timestamp("s")))
    names = (aliases.column("identity"), aliases.column("alias"))
    for line, t, one, other in zip(*(column.to_pylist() for column in (*columns, *names)), strict=True):
        yield Tie(row_id(revision, line), t, one, other, identities[one], identities[other])

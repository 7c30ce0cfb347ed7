"""Consistency checks: whether the tables agree with each other. Each finding names the command that repairs it.

Each check is one statement, so imports may go on meanwhile. Counts of facts are in `warehouse.ledger.reconciliation`,
whether facts carry their person in `warehouse.identity.checks`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from kmdb_dagster.km_export.layout import MAX_REVISION, chunks
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity.rebuild import UNNAMED_ALIASES
from kmdb_dagster.warehouse.identity.spans import WEEK_OF
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS
from kmdb_dagster.warehouse.schema.state_rows import REPAIRS, lost_rows
from kmdb_dagster.warehouse.schema.tables import FACTS
from kmdb_dagster.wording import range_text

REALIAS = "`kmdb realias`"
MAX_COMMANDS = 5
REVISION_BITS = LINE_BITS + ORDINAL_BITS

UNMAPPED = "SELECT COUNT(*) FROM users u LEFT JOIN user_map m ON m.identity_id = u.id WHERE m.identity_id IS NULL"
UNNAMED = (
    "SELECT COUNT(*) FROM user_map m LEFT JOIN users i ON i.id = m.identity_id LEFT JOIN users p ON p.id = m.user_id "
    "WHERE i.id IS NULL OR p.id IS NULL"
)
OUTSIDE_SPAN = (
    "SELECT COUNT(DISTINCT f.identity_id) FROM {table} f "  # noqa: S608 - ours
    "LEFT JOIN identity_spans s ON s.identity_id = f.identity_id "
    f"WHERE s.identity_id IS NULL OR {WEEK_OF.format(t='f.t')} NOT BETWEEN s.first_week AND s.last_week"
)
NAME_OF = {"events": "n", "properties": "`key`"}
UNNAMED_FACTS = (
    f"SELECT f.id >> {REVISION_BITS}, COUNT(*) FROM {{table}} f LEFT JOIN users u ON u.id = f.identity_id "  # noqa: S608 - ours
    "LEFT JOIN `keys` k ON k.id = f.{name} WHERE u.id IS NULL OR k.id IS NULL GROUP BY 1"
)
SPANS = (
    "SELECT revision, events + properties FROM revisions WHERE imported_at IS NOT NULL AND events + properties > 0 "
    "AND (t_min IS NULL OR t_max IS NULL)"
)
REJECTED = (
    "SELECT revision, ABS(SUM(n)) FROM (SELECT revision, CAST(rejected AS SIGNED) AS n FROM revisions "
    "WHERE imported_at IS NOT NULL UNION ALL SELECT revision, -1 FROM rejected_lines) counted "
    "GROUP BY revision HAVING SUM(n) <> 0"
)
# A revision that is resolved and not loaded yet has another ETag in the ledger. Older rows have no ETag.
ALIASES = (
    "SELECT a.revision, a.found FROM ("  # noqa: S608 - ours
    "SELECT revision, SUM(n) AS found, MIN(t) AS t_first, MAX(t) AS t_last FROM ("
    f"SELECT id >> {REVISION_BITS} AS revision, 1 AS n, t FROM aliases "
    "UNION ALL SELECT revision, 0, NULL FROM revisions) alias_rows GROUP BY revision) a "
    "LEFT JOIN resolved_revisions r ON r.revision = a.revision "
    "LEFT JOIN revisions l ON l.revision = a.revision AND l.imported_at IS NOT NULL "
    "AND (r.etag IS NULL OR r.etag <=> l.etag) "
    "WHERE l.aliases <> a.found OR a.found > 0 AND (r.t_min IS NULL OR r.t_min > a.t_first OR r.t_max < a.t_last)"
)


class Finding(NamedTuple):
    """An inconsistency: how many rows or identities, in which revisions, and the command that repairs it."""

    what: str
    rows: int
    revisions: tuple[int, ...]
    repair: str


def find_inconsistencies(engine: Engine) -> list[Finding]:
    """Run every check. Repair the findings in their order. Takes as long as reading all tables several times."""
    with transaction(engine) as connection:
        lost = lost_rows(connection)
    if lost:
        return [Finding(f"`{table}` has lost its row", 1, (), f"`{REPAIRS[table]}`") for table in lost]
    with transaction(engine) as connection:
        return [*_of_people(connection), *_of_revisions(connection)]


def _of_people(connection: Connection) -> Iterator[Finding]:
    looks = {
        "identities in `users` that `user_map` lacks": [UNMAPPED],
        "identities in `user_map` that `users` lacks": [UNNAMED],
        "alias lines whose identities `users` lacks, or has under other names": [UNNAMED_ALIASES],
        "identities with facts outside of their `identity_spans`": [OUTSIDE_SPAN.format(table=name) for name in FACTS],
    }
    for what, statements in looks.items():
        count = sum(int(connection.execute(text(statement)).scalar_one()) for statement in statements)
        if count:
            yield Finding(what, count, (), REALIAS)


def _of_revisions(connection: Connection) -> Iterator[Finding]:
    looks = {
        "facts whose identity or name is missing in `users` or `keys`": [
            UNNAMED_FACTS.format(table=table, name=name) for table, name in NAME_OF.items()
        ],
        "facts of revisions whose `t_min` or `t_max` is missing": [SPANS],
        "`rejected_lines` that do not agree with the ledger": [REJECTED],
        "`aliases` that do not agree with `revisions` or `resolved_revisions`": [ALIASES],
    }
    for what, statements in looks.items():
        counts: Counter[int] = Counter()
        for statement in statements:
            counts.update({int(row[0]): int(row[1]) for row in connection.execute(text(statement))})
        if counts:
            yield Finding(what, counts.total(), tuple(sorted(counts)), import_commands(counts))


def import_commands(revisions: Iterable[int]) -> str:
    """Render the commands that import these revisions again; one that covers all if there are very many ranges."""
    ranges = list(chunks(revisions, MAX_REVISION))
    if len(ranges) > MAX_COMMANDS:
        ranges = [(ranges[0][0], ranges[-1][1])]
    return ", ".join(f"`kmdb import {range_text(first, last)}`" for first, last in ranges)

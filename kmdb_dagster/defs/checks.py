"""Checks of the people as a whole, from the UI or every night: of all that is in, not of one run's revisions."""

import dagster as dg

from kmdb_dagster.defs.assets import EVENTS, USER_MAP
from kmdb_dagster.defs.failures import plainly
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import checks
from kmdb_dagster.warehouse.rules import RULE_WAITS, rule_waits

MOST_SHOWN = 100


@dg.asset_check(
    asset=EVENTS.key,
    description="Every row of `events` and `properties` is under the person that `user_map` names. Rows that the next "
    "import will move are counted apart.",
)
def facts_under_their_person(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Look at every fact."""
    with plainly(), kmdb.warehouse() as warehouse:
        found = checks.misplaced_facts(warehouse.engine)
    return dg.AssetCheckResult(
        passed=not found.rows,
        metadata={
            "misplaced_rows": found.rows,
            "rows_waiting_to_be_moved": found.waiting,
            "spans_waiting_for_realias": found.spans,
        },
    )


@dg.asset_check(
    asset=USER_MAP.key,
    description="People of two or more numeric identities, or of more than KMDB_MOST_IDENTITIES identities: strangers "
    "may have been made one by an alias with a placeholder. Also, whether the map follows the rule that is asked for.",
)
def squished_people(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Look at every person."""
    settings = kmdb.settings()
    with plainly(), kmdb.warehouse() as warehouse:
        found = checks.squished_people(warehouse.engine, settings.most_identities)
        waits = rule_waits(warehouse.engine, numeric_apart=settings.numeric_apart)
    return dg.AssetCheckResult(
        passed=not found and not waits,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "people": len(found),
            "worst": dg.MetadataValue.table(
                records=[dg.TableRecord(person._asdict()) for person in found[:MOST_SHOWN]],
                schema=dg.TableSchema([dg.TableColumn(name, "int") for name in checks.Squished._fields]),
            ),
            "rule": RULE_WAITS if waits else "in force",
        },
    )


CHECKS = [facts_under_their_person, squished_people]

check_people = dg.define_asset_job(
    "check_people",
    selection=dg.AssetSelection.checks(*CHECKS),
    description="Looks at every fact and every person: `facts_under_their_person` and `squished_people`.",
)

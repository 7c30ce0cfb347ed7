"""The checks of the asset `warehouse`: of all imported data, every night or by the job `check_everything`.

The asset is not partitioned, so an import neither runs nor skips them. A run's own checks: ``revisions``.
"""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import WAREHOUSE
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.dagster_ext.partition_registry import registered
from kmdb_dagster.dagster_ext.run_ranges import active_imports
from kmdb_dagster.defs.asset_checks.revisions import check_accounted, check_agreement
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.km_export.layout import describe_ranges
from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline.bucket_scan import never_attempted
from kmdb_dagster.pipeline.parquet_comparison import compare_with_parquet
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.identity import checks
from kmdb_dagster.warehouse.interning.checks import wrong_ids
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.consistency import REALIAS, find_inconsistencies, import_commands
from kmdb_dagster.warehouse.maintenance.indexes import is_any_index_missing
from kmdb_dagster.warehouse.maintenance.time_partitions import covered_until, overflowing, read_partitions

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

MAX_SHOWN = 100

MARGIN = timedelta(days=14)
"""`cover_the_future` adds 90 days every night. With less than this it has been off for weeks."""


@dg.asset_check(
    asset=WAREHOUSE,
    description="Every line of every imported revision ended in exactly one of: imported, ignored by a filter, blank, "
    "rejected with a reason.",
)
def lines_accounted_for(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Add up the counts of the ledger."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        verdict = check_accounted(warehouse.engine, None)
    return dg.AssetCheckResult(**verdict._asdict())


@dg.asset_check(
    asset=WAREHOUSE,
    description="`events` and `properties` hold as many rows of each revision as the ledger says, and none that the "
    "ledger does not know. It counts every row, a time partition at a time.",
)
def facts_agree_with_ledger(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Count every row."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        verdict = check_agreement(warehouse.engine, None)
    return dg.AssetCheckResult(**verdict._asdict())


@dg.asset_check(
    asset=WAREHOUSE,
    description="Every row of `events` and `properties` carries the person id of `user_map`. Rows with a pending move, "
    "which the next import makes, are counted separately.",
)
def facts_under_their_person(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare every fact with the user map."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = checks.misplaced_facts(warehouse.engine)
    return dg.AssetCheckResult(
        passed=not found.rows,
        metadata={
            "misplaced_rows": found.rows,
            "rows_waiting_to_be_moved": found.waiting,
            "spans_waiting_for_realias": found.spans,
            **({"repair": REALIAS} if found.rows else {}),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="Every row of `users` and `keys` has the digest of its name. If not, run `kmdb flush`; the sensor then "
    "imports everything again.",
)
def ids_belong_to_names(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare every name with its digest."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = wrong_ids(warehouse.engine)
    return dg.AssetCheckResult(
        passed=not any(found),
        metadata={
            **{f"wrong_{table}": rows for table, rows in found._asdict().items()},
            **({"repair": "`kmdb flush`"} if any(found) else {}),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="A sample of the facts of each revision (KMDB_CHECKED_ROWS) is the same, by name, as in its Parquet. "
    "`repair` names the commands that import revisions again where it is not.",
)
def facts_agree_with_parquet(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare a sample of each revision."""
    settings = kmdb.settings()
    if not settings.checked_rows:
        return dg.AssetCheckResult(passed=True, metadata={"rows_compared": 0, "note": "KMDB_CHECKED_ROWS is 0"})
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = compare_with_parquet(warehouse.engine, Lake(settings.data_dir), settings.checked_rows)
    return dg.AssetCheckResult(
        passed=not found.wrong,
        metadata={
            "rows_compared": found.rows,
            "rows_wrong": sum(found.wrong.values()),
            "revisions_wrong": describe_ranges(list(found.wrong)[:MAX_SHOWN]),
            "revisions_compared": found.compared,
            "revisions_without_their_parquet": found.not_compared,
            **({"repair": import_commands(found.wrong)} if found.wrong else {}),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="People of two or more numeric identities, or of more than KMDB_MOST_IDENTITIES identities: strangers "
    "may be merged by an alias line with a placeholder.",
)
def squished_people(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Count the identities of every person."""
    settings = kmdb.settings()
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = checks.over_merged_people(warehouse.engine, settings.most_identities)
    return dg.AssetCheckResult(
        passed=not found,
        severity=WARN,
        metadata={
            "people": len(found),
            "worst": dg.MetadataValue.table(
                records=[dg.TableRecord(person._asdict()) for person in found[:MAX_SHOWN]],
                schema=dg.TableSchema([dg.TableColumn(name, "int") for name in checks.OverMergedPerson._fields]),
            ),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="No revision failed at its last attempt (an error), and every revision of the bucket was attempted or "
    "is part of an active run (a warning).",
)
def no_failed_or_missing_revisions(context: dg.AssetCheckExecutionContext, kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare the ledger with the partitions."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        statuses = ledger.statuses(warehouse.engine)
    failed = [status.revision for status in statuses.values() if status.failed]
    missing = never_attempted(registered(context.instance), statuses, active_imports(context.instance).under_way)
    return dg.AssetCheckResult(
        passed=not failed and not missing,
        severity=ERROR if failed else WARN,
        metadata={
            "failed": describe_ranges(failed),
            "missing": describe_ranges(missing),
            "never_written_by_kissmetrics": sum(status.imported and not status.etag for status in statuses.values()),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="The newest event is not older than KMDB_FRESH_HOURS. Events in the future, from wrong clocks, do not "
    "count.",
)
def newest_event_is_recent(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Read the newest fact from the ledger."""
    allowed = kmdb.settings().fresh_hours
    now = datetime.now(UTC).replace(tzinfo=None)
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        newest = ledger.newest_fact(warehouse.engine, now)
    hours = (now - newest).total_seconds() / 3600 if newest else None
    return dg.AssetCheckResult(
        passed=not allowed or (hours is not None and hours <= allowed),
        severity=WARN,
        metadata={
            "newest_event": f"{newest} UTC" if newest else "none yet",
            "allowed_hours": allowed,
            **({"hours_old": round(hours, 1)} if hours is not None else {}),
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="The time partitions of all tables reach 14 days ahead, or to KMDB_MAX_DATE, and the overflow "
    "partition `future` has no earlier rows. The job `partition_tables` adds the missing ones. Facts further "
    "ahead, from wrong clocks, do not count.",
)
def future_is_covered(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Read the time partitions."""
    wanted = min(datetime.now(UTC).date() + MARGIN, kmdb.settings().max_date or date.max)
    with as_dagster_failure(), kmdb.warehouse() as warehouse, transaction(warehouse.engine) as connection:
        until = covered_until(read_partitions(connection))
        over = overflowing(connection, wanted)
    return dg.AssetCheckResult(
        passed=until is not None and until >= wanted and not over,
        severity=WARN,
        metadata={
            "covered_until": str(until or "not partitioned yet"),
            "wanted": str(wanted),
            "rows_in_the_overflow_of": ", ".join(over) or "none",
        },
    )


@dg.asset_check(
    asset=WAREHOUSE,
    description="The secondary indexes of `events` and `properties` exist. The job `drop_indexes` drops them for a "
    "first import; run `build_indexes` after it.",
)
def indexes_are_there(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Look for missing indexes."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        passed = not is_any_index_missing(warehouse.engine)
    return dg.AssetCheckResult(passed=passed, severity=WARN)


@dg.asset_check(
    asset=WAREHOUSE,
    description="The tables agree with each other: names, identities, spans, aliases, rejected lines and state rows "
    "match the ledger and the facts. Edits by hand break that. `repair` names the commands that restore it, in the "
    "order to run them (docs/how-to/repair.md).",
)
def bookkeeping_agrees(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Compare the tables with each other."""
    with as_dagster_failure(), kmdb.warehouse() as warehouse:
        found = find_inconsistencies(warehouse.engine)
    records = [
        dg.TableRecord({"what": finding.what, "rows": finding.rows, "revisions": describe_ranges(finding.revisions)})
        for finding in found
    ]
    columns = [dg.TableColumn("what"), dg.TableColumn("rows", "int"), dg.TableColumn("revisions")]
    return dg.AssetCheckResult(
        passed=not found,
        metadata={
            "found": dg.MetadataValue.table(records, schema=dg.TableSchema(columns)),
            **({"repair": "; then ".join(dict.fromkeys(finding.repair for finding in found))} if found else {}),
        },
    )


CHECKS = [
    lines_accounted_for,
    facts_agree_with_ledger,
    bookkeeping_agrees,
    facts_under_their_person,
    ids_belong_to_names,
    facts_agree_with_parquet,
    squished_people,
    indexes_are_there,
    no_failed_or_missing_revisions,
    newest_event_is_recent,
    future_is_covered,
]

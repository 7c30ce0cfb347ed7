"""The asset `import_report`: how the import went, in pictures, and how large the tables are. Made anew every night."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from kmdb_dagster.dagster_ext.failures import plainly
from kmdb_dagster.dagster_ext.run_ranges import brings_in, range_of
from kmdb_dagster.defs.assets import EVENTS, OWNERS, PROPERTIES, USER_MAP
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.defs.table_partitions import partition_map, today
from kmdb_dagster.report.figures import Run, lag, people_over_time, per_day, share_per_day, speed, times_of
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.history import FirstSeen, History, read_first_seen, read_history
from kmdb_dagster.warehouse.maintenance.retention import read_drop
from kmdb_dagster.warehouse.maintenance.time_partitions import read_partitions

MOST_RUNS = 300

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@dg.asset(
    deps=[EVENTS, PROPERTIES, USER_MAP],
    group_name="operations",
    kinds={"mysql", "matplotlib"},
    owners=OWNERS,
    description="How the import went, in pictures (`charts`), and how large the tables are (`partitions`). "
    "docs/reference/metrics.md says how to read it. Materialize it to see how things stand now.",
)
def import_report(context: dg.AssetExecutionContext, kmdb: Kmdb) -> dg.MaterializeResult[None]:
    """Look at the ledger, the people, the partitions and the latest runs."""
    with plainly(), kmdb.warehouse() as warehouse:
        history = read_history(warehouse.engine)
        pictures = _charts(history, read_first_seen(warehouse.engine), list(_runs(context.instance)))
        totals = ledger.totals(warehouse.engine)
        with transaction(warehouse.engine) as connection:
            partitions = read_partitions(connection)
        keep_days = kmdb.settings().keep_days
        drop = read_drop(warehouse.engine, today() - timedelta(days=keep_days)) if keep_days else None
    return dg.MaterializeResult(
        metadata={
            "charts": dg.MetadataValue.md(pictures),
            "partitions": partition_map(partitions),
            "bytes": sum(partition.bytes for partition in partitions),
            "revisions": totals.revisions,
            "failed": totals.failed,
            "events_rows": totals.events,
            "properties_rows": totals.properties,
            "made_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
            **({"old_bytes_that_may_go": drop.bytes} if drop else {}),
        }
    )


def _charts(history: History, seen: FirstSeen, runs: list[Run]) -> str:
    # Half a second, which no run but this one should take to start.
    from kmdb_dagster.charts import report  # noqa: PLC0415

    times = times_of(history)
    return report.markdown(
        [
            report.Chart("Lines a day, by the time of the facts", per_day(times, history.lines), report.amounts),
            report.Chart(
                "Rejected lines, percent of each day's",
                share_per_day(times, history.rejected, history.lines),
                report.shares,
            ),
            report.Chart("People so far, by their first fact", people_over_time(seen, times), report.growth),
            report.Chart(
                "Age of the newest fact, whenever a revision came in", lag(times, history.imported_at), report.lags
            ),
            report.Chart("Rows a second, of each import run at its end", speed(history, runs), report.points),
        ]
    )


def _runs(instance: dg.DagsterInstance) -> Iterator[Run]:
    """The latest runs that loaded facts."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=ENDED), limit=MOST_RUNS):
        run, found = record.dagster_run, range_of(record.dagster_run)
        if found and brings_in(run) and record.start_time and record.end_time and record.end_time > record.start_time:
            yield Run(record.end_time, record.end_time - record.start_time, *found)

"""Commands on the import: ``import`` requests it from Dagster and waits for it, ``status`` shows the ledger."""

import json
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kmdb_dagster.cli.bucket_lines import bucket_lines, remembered_lines
from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.cli.status_lines import status_lines
from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.km_export.layout import MAX_REVISION, parse_range
from kmdb_dagster.output_escaping import for_terminal
from kmdb_dagster.settings import load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.status import read as read_status

SECONDS_BETWEEN_POLLS = 2.0
SECONDS_UNTIL_PICKED_UP = 60.0
"""Dagster's daemon looks for backfills every 30 seconds. That is twice."""
MAX_FAILURES_SHOWN = 20

_NOT_PICKED_UP = (
    f"Nothing has picked up the backfill for {SECONDS_UNTIL_PICKED_UP:.0f} seconds. Is Dagster's daemon running? If "
    "not, start `kmdb ui` and leave it open."
)
_STAYS = "The backfill stays requested, and this command goes on waiting. You may interrupt it."

_FUTURE_TICK = (
    "{name} last ticked in the future ({until:%Y-%m-%d}). Restart Dagster with the `storage` section of the shipped "
    "dagster.yaml"
)


@click.command("import")
@click.argument("revisions", required=False)
@click.option("--no-wait", is_flag=True, help="Request the import, and do not wait for it.")
def import_(revisions: str | None, *, no_wait: bool) -> None:
    """Import revisions, or all that are outstanding.

    REVISIONS is a range (31..45) or a number (57). Revisions that are imported already are replaced. Without it,
    everything that is new, changed or failed is imported. The command requests a backfill, as the jobs
    `import_range` and `import_outstanding` do, and shows its progress. Dagster's daemon must run: `kmdb ui` starts
    it.

    \b
    Example:
        $ kmdb import 31..45
        Backfill dvjqbfnl: 15 revisions. Dagster looks for backfills every 30 seconds.
        All revisions are imported.
    """
    # Dagster takes a second to import, so only commands that need it do.
    from kmdb_dagster.dagster_ext.backfills import backfill_outcome, has_runs, request_outstanding, request_range
    from kmdb_dagster.dagster_ext.instance import daemon_problem, open_instance, require_daemon
    from kmdb_dagster.defs.resources import Kmdb

    bounds = parse_range(revisions) if revisions else None
    settings = load_settings()
    settings.required_database()
    with open_instance() as instance, warehouse(settings) as opened:
        require_daemon(instance)
        requested = request_range(instance, Kmdb(), *bounds) if bounds else request_outstanding(instance, Kmdb())
        if not requested.revisions:
            click.echo("Nothing to import: every revision in the bucket is imported or requested.")
            return
        number = len(requested.revisions)
        click.echo(f"Backfill {requested.id}: {number} revisions. Dagster looks for backfills every 30 seconds.")
        if no_wait:
            return
        outcome = _follow(
            opened,
            requested.revisions,
            outcome=lambda: backfill_outcome(instance, requested.id),
            problem=lambda: daemon_problem(instance),
            is_picked_up=lambda: has_runs(instance, requested.id),
        )
        _report_outcome(opened, requested.revisions, outcome)


def _follow(
    opened: Warehouse,
    revisions: list[int],
    *,
    outcome: Callable[[], str | None],
    problem: Callable[[], str | None],
    is_picked_up: Callable[[], bool],
) -> str:
    """Show a progress bar of attempted revisions until the backfill has an outcome, and return it.

    Says once if Dagster's daemon stops, or does not pick the backfill up.
    """
    before = ledger.attempts(opened.engine, revisions)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Importing", total=len(revisions))
        started, has_warned = time.monotonic(), False
        while True:
            ended = outcome()
            is_late = time.monotonic() - started >= SECONDS_UNTIL_PICKED_UP
            if not has_warned and (
                warning := problem() or (_NOT_PICKED_UP if is_late and not is_picked_up() else None)
            ):
                click.echo(f"kmdb: {warning} {_STAYS}", err=True)
                has_warned = True
            now = ledger.attempts(opened.engine, revisions)
            progress.update(task, completed=sum(now[revision] != before.get(revision) for revision in now))
            if ended is not None:
                return ended
            time.sleep(SECONDS_BETWEEN_POLLS)


def _report_outcome(opened: Warehouse, revisions: list[int], outcome: str) -> None:
    wanted = set(revisions)
    all_failures = ledger.failures(opened.engine, most=MAX_REVISION)
    failed = [(number, reason) for number, reason in all_failures if number in wanted]
    for number, reason in failed[:MAX_FAILURES_SHOWN]:
        click.echo(for_terminal(f"revision {number}, {reason}"), err=True)
    if len(failed) > MAX_FAILURES_SHOWN:
        click.echo(f"… and {len(failed) - MAX_FAILURES_SHOWN} more", err=True)
    if outcome != "COMPLETED_SUCCESS":
        raise PermanentError(
            f"The backfill ended as {outcome}; {len(failed)} revisions failed. Open the run in Dagster's UI."
        )
    click.echo("All revisions are imported.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")
@click.option("--no-bucket", is_flag=True, help="Do not list the bucket: that takes 15 s for 100,000 revisions.")
def status(*, as_json: bool, no_bucket: bool) -> None:
    """Show what is imported, what failed, and what the bucket has.

    Reads the ledger, lists the bucket, and shows how far the time partitions reach. It changes nothing.

    \b
    Example:
        $ kmdb status
        kmdb on localhost:3306
          server                 MySQL 9.2.0
          revisions              30 imported, 0 absent, 1 failed
          ...
          failed: revision 7, raw_revisions: it is not JSON
    """
    settings = load_settings()
    with warehouse(settings) as opened:
        found = read_status(opened.engine, numeric_apart=settings.numeric_apart)
        bucket = remembered_lines(opened.engine) if no_bucket else bucket_lines(opened.engine)
        dagster = _dagster_lines()
        if as_json:
            more = {"bucket": dict(bucket), "dagster": [value for _, value in dagster]}
            click.echo(json.dumps({**found.as_dict(), **more}, default=str))
            return
        click.echo(for_terminal(opened.name))
        for name, value in [*status_lines(found), *dagster]:
            click.echo(f"  {name:<22} {value}")
        for name, value in bucket:
            click.echo(for_terminal(f"  {name:<22} {value}"))
        for revision, reason in found.failures:
            click.echo(for_terminal(f"  failed: revision {revision}, {reason}"))


def _dagster_lines() -> list[tuple[str, str]]:
    """Report sensors whose last tick is in the future; nothing without such a sensor or without DAGSTER_HOME."""
    from kmdb_dagster.dagster_ext.future_ticks import sensors_ahead
    from kmdb_dagster.dagster_ext.history_storage import without_retries
    from kmdb_dagster.dagster_ext.instance import open_instance

    try:
        with without_retries(), open_instance() as instance:
            ahead = sensors_ahead(instance)
    except SettingsError:
        return []
    except Exception as error:  # noqa: BLE001 - any error of Dagster; the rest of the status is still useful
        return [("Dagster", f"its history cannot be read ({type(error).__name__})")]
    return [("a clock was ahead", _FUTURE_TICK.format(name=name, until=until)) for name, until in ahead]


COMMANDS = (import_, status)

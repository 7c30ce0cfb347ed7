"""Commands on the import: ``import`` asks Dagster for it and follows it, ``status`` says how things stand."""

import json
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kmdb_dagster.cli.bucket_lines import bucket_lines
from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.escaping import for_terminal
from kmdb_dagster.km_export.layout import MAX_REVISION, parse_range
from kmdb_dagster.settings import load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.status import read as read_status

SECONDS_BETWEEN_LOOKS = 2.0
MOST_NAMED = 20

_AHEAD = (
    "{name} last ticked in the future ({until:%Y-%m-%d}). Restart Dagster; its dagster.yaml needs the `storage` of the "
    "one shipped"
)


@click.command("import")
@click.argument("revisions", required=False)
@click.option("--no-wait", is_flag=True, help="Ask for the import and return.")
def import_(revisions: str | None, *, no_wait: bool) -> None:
    """Import REVISIONS (31..45, or 57), or everything that is not in yet.

    The same as the job `import_range` in Dagster's UI: it becomes a backfill, which Dagster's daemon carries out
    (`kmdb ui` runs one). Revisions that are in already are imported anew.

    \b
    Example:
        kmdb import 31..45
    """
    # Dagster takes a second to import: only for those who need it.
    from kmdb_dagster.dagster_ext.backfills import outcome_of, request_new, request_range
    from kmdb_dagster.dagster_ext.instance import open_instance, require_daemon
    from kmdb_dagster.defs.resources import Kmdb

    bounds = parse_range(revisions) if revisions else None
    settings = load_settings()
    settings.required_database()
    with open_instance() as instance, warehouse(settings) as opened:
        require_daemon(instance)
        asked = request_range(instance, Kmdb(), *bounds) if bounds else request_new(instance, Kmdb())
        if not asked.revisions:
            click.echo("Everything in the bucket is in already, or on its way.")
            return
        click.echo(
            f"Backfill {asked.id}: {len(asked.revisions)} revisions. Dagster looks for backfills every 30 seconds."
        )
        if no_wait:
            return
        outcome = _follow(opened, asked.revisions, lambda: outcome_of(instance, asked.id))
        _say_how_it_ended(opened, asked.revisions, outcome)


def _follow(opened: Warehouse, revisions: list[int], outcome: Callable[[], str | None]) -> str:
    """A progress bar that moves as revisions come in, until there is an outcome."""
    before = ledger.attempts(opened.engine, revisions)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Importing", total=len(revisions))
        while True:
            ended = outcome()
            now = ledger.attempts(opened.engine, revisions)
            progress.update(task, completed=sum(now[revision] != before.get(revision) for revision in now))
            if ended is not None:
                return ended
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _say_how_it_ended(opened: Warehouse, revisions: list[int], outcome: str) -> None:
    wanted = set(revisions)
    everywhere = ledger.failures(opened.engine, most=MAX_REVISION)
    failed = [(number, why) for number, why in everywhere if number in wanted]
    for number, why in failed[:MOST_NAMED]:
        click.echo(for_terminal(f"revision {number}, {why}"), err=True)
    if len(failed) > MOST_NAMED:
        click.echo(f"… and {len(failed) - MOST_NAMED} more", err=True)
    if outcome != "COMPLETED_SUCCESS":
        raise PermanentError(f"The backfill ended as {outcome}; {len(failed)} revisions failed. See the run in the UI.")
    click.echo("All of it is in.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--no-bucket", is_flag=True, help="Do not list the bucket, which takes 15 s for 100,000 revisions.")
def status(*, as_json: bool, no_bucket: bool) -> None:
    """Say what is in, what failed, what the bucket has besides, and how far the time partitions reach.

    \b
    Example:
        kmdb status
    """
    settings = load_settings()
    with warehouse(settings) as opened:
        found = read_status(opened.engine, numeric_apart=settings.numeric_apart)
        bucket = [] if no_bucket else bucket_lines(opened.engine)
        dagster = _dagster_lines()
        if as_json:
            more = {"bucket": dict(bucket), "dagster": [value for _, value in dagster]}
            click.echo(json.dumps({**found.as_dict(), **more}, default=str))
            return
        click.echo(for_terminal(opened.name))
        for name, value in [*found.as_lines(), *dagster]:
            click.echo(f"  {name:<22} {value}")
        for name, value in bucket:
            click.echo(for_terminal(f"  {name:<22} {value}"))
        for revision, why in found.failures:
            click.echo(for_terminal(f"  failed: revision {revision}, {why}"))


def _dagster_lines() -> list[tuple[str, str]]:
    """What Dagster's history says of the sensors: nothing, if they are well or there is no history here."""
    from kmdb_dagster.dagster_ext.future_ticks import sensors_ahead
    from kmdb_dagster.dagster_ext.history_storage import without_retries
    from kmdb_dagster.dagster_ext.instance import open_instance

    try:
        with without_retries(), open_instance() as instance:
            ahead = sensors_ahead(instance)
    except SettingsError:
        return []
    except Exception as error:  # noqa: BLE001 - it is Dagster's, and the rest of the status is worth printing
        return [("Dagster", f"its history cannot be read ({type(error).__name__})")]
    return [("a clock was ahead", _AHEAD.format(name=name, until=until)) for name, until in ahead]


COMMANDS = (import_, status)

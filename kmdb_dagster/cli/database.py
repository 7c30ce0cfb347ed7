"""Commands on the database: ``migrate``, ``partition``, ``index``, ``realias``, ``flush``; and how commands open it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.wording import counted

if TYPE_CHECKING:
    from kmdb_dagster.warehouse.maintenance.time_partitions import Plan


@contextmanager
def warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open the warehouse that the settings name, and close it at the end.

    Raises:
        MissingSettingError: DATABASE_URL is not set.
    """
    opened = Warehouse(settings.required_database())
    try:
        yield opened
    finally:
        opened.close()


def confirm_by_name(opened: Warehouse, action: str) -> None:
    """Ask for the name of the database before ``action`` (``delete every imported row``).

    Raises:
        PermanentError: Another name was typed.
    """
    typed = click.prompt(f"To {action} of {opened.name}, type the name of the database", default="", show_default=False)
    if typed != opened.database:
        raise PermanentError("Nothing was deleted: that is not the name of the database.")


@contextmanager
def progress_reports(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar, and yield a function that updates it: ``report(text, done, total)``.

    Args:
        first: The text before the first report.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(first, total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield report


@click.command()
def migrate() -> None:
    """Create the tables, or upgrade them to this version.

    Run it once before the first import, and after each upgrade of the package. It changes nothing if the tables are
    current.

    \b
    Example:
        $ kmdb migrate
        kmdb on localhost:3306: schema 1 (was none).
    """
    from kmdb_dagster.warehouse.schema.migrations import migrate as run

    with warehouse(load_settings()) as opened:
        before, after = run(opened.engine)
        click.echo(
            f"{opened.name}: schema {after}" + (" already." if before == after else f" (was {before or 'none'}).")
        )


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--sql", is_flag=True, help="With --dry-run: print the statements.")
@click.option(
    "--drop-before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Drop the partitions that end before this day. The Parquet files stay.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def partition(*, dry_run: bool, sql: bool, drop_before: datetime | None, yes: bool) -> None:
    """Add time partitions to the large tables, or drop old ones.

    Partitions reach to KMDB_MAX_DATE, or to 90 days from today. KMDB_MIN_DATE sets the first one, and is read only when
    the tables have no partitions yet. Dagster runs this every night.

    \b
    Example:
        $ KMDB_MIN_DATE=2014-04-01 KMDB_MAX_DATE=2014-06-01 kmdb partition
        events: 10 partitions added to 1.
        properties: 10 partitions added to 1.
        aliases: 10 partitions added to 1.
        $ kmdb partition --drop-before 2014-04-20 --dry-run
        ALTER TABLE events DROP PARTITION past, p20140401, p20140408;
        ALTER TABLE properties DROP PARTITION past, p20140401, p20140408;
    """
    settings = load_settings()
    with warehouse(settings) as opened:
        if drop_before:
            _drop(opened, drop_before.date(), dry_run=dry_run, yes=yes)
        else:
            _add(opened, settings, dry_run=dry_run, sql=sql)


def _add(opened: Warehouse, settings: Settings, *, dry_run: bool, sql: bool) -> None:
    from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all

    plans = plan_all(
        opened.engine,
        min_date=settings.min_date,
        max_date=settings.max_date,
        days=settings.days_per_partition,
        today=datetime.now(UTC).date(),
    )
    for plan in plans:
        for statement in plan.statements() if sql else ():
            click.echo(f"{statement};")
    if not dry_run:
        apply_plans(opened.engine, plans)
    for plan in plans:
        verb = "would be added" if dry_run else "added"
        click.echo(f"{plan.table}: {len(plan.bounds)} partitions {verb} to {plan.existing}.", err=sql)
    if dry_run and not sql and plans[0].bounds:
        _echo_partitions(plans[0], settings)


def _echo_partitions(plan: "Plan", settings: Settings) -> None:
    """Show the first and last partitions to add, and advise another length from the size of the bucket."""
    from kmdb_dagster.defs.resources import Kmdb
    from kmdb_dagster.pipeline.bucket_scan import advise_time_partitions
    from kmdb_dagster.warehouse.maintenance.time_partitions import named_partitions

    click.echo(f"Each: {named_partitions(plan.bounds)}. --sql prints the statements.")
    if advice := advise_time_partitions(Kmdb().bucket, plan, settings):
        click.echo(advice)


def _drop(opened: Warehouse, before: date, *, dry_run: bool, yes: bool) -> None:
    from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop

    drop = read_drop(opened.engine, before)
    for statement in drop.statements() if dry_run else ():
        click.echo(f"{statement};")
    for part in drop.partitions:
        click.echo(
            f"{part.table}: {part.name} (before {part.before}), {part.rows:,} rows, {part.bytes:,} bytes", err=True
        )
    if drop.day is None:
        click.echo(f"No partition ends before {before}: nothing to drop.", err=True)
    elif not dry_run:
        if not yes:
            confirm_by_name(opened, f"drop every fact before {drop.day}")
        apply_drop(opened.engine, drop)
        click.echo(f"Facts are kept from {drop.day} on.")


@click.group()
def index() -> None:
    """Drop the indexes for a large import, and build them after it.

    An import of a long history is faster without the indexes of events and properties.

    \b
    Example:
        $ kmdb index drop
        The indexes of events and properties are dropped. After the import, run `kmdb index build`.
        $ kmdb import
        $ kmdb index build
        The indexes of events and properties exist. Facts of 0 identities were moved.
    """


@index.command()
def drop() -> None:
    """Drop the indexes of events and properties.

    Until they are built again, queries read whole partitions, and facts of merged people are not moved.

    \b
    Example:
        $ kmdb index drop
        The indexes of events and properties are dropped. After the import, run `kmdb index build`.
    """
    from kmdb_dagster.warehouse.maintenance.indexes import drop as run

    with warehouse(load_settings()) as opened:
        run(opened.engine)
        click.echo("The indexes of events and properties are dropped. After the import, run `kmdb index build`.")


@index.command()
def build() -> None:
    """Build the missing indexes, then carry out the pending moves.

    If it is interrupted, run it again: it continues.

    \b
    Example:
        $ kmdb index build
        The indexes of events and properties exist. Facts of 0 identities were moved.
    """
    from kmdb_dagster.warehouse.identity.user_map import move_facts
    from kmdb_dagster.warehouse.maintenance.indexes import build as run

    with warehouse(load_settings()) as opened:
        run(opened.engine)
        moved = move_facts(opened.engine)
        click.echo(f"The indexes of events and properties exist. Facts of {counted(moved, 'identity')} were moved.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Count the identities that would get another person; change nothing.")
def realias(*, dry_run: bool) -> None:
    """Resolve all identities again, and move facts to their people.

    Imports keep `user_map` current. Run this after you changed `placeholder_identities`, `ignored_users` or
    KMDB_NUMERIC_APART, or edited tables by hand. It rebuilds `user_map` from the table `aliases`. If it is interrupted,
    run it again: it continues.

    \b
    Example:
        $ kmdb realias --dry-run
        0 identities would get another person. Nothing is changed: `kmdb realias` applies it.
        $ kmdb realias
        0 identities got another person; facts of 0 identities were moved.
    """
    from kmdb_dagster.warehouse.identity.rebuild import preview_realias
    from kmdb_dagster.warehouse.identity.rebuild import realias as run

    settings = load_settings()
    if dry_run:
        with warehouse(settings) as opened, progress_reports("reading aliases") as report:
            preview = preview_realias(opened.engine, numeric_apart=settings.numeric_apart, report=report)
        click.echo(f"{preview} Nothing is changed: `kmdb realias` applies it.")
        return
    with warehouse(settings) as opened, progress_reports("waiting for the lock on the map") as report:
        done = run(opened.engine, opened.generation(), numeric_apart=settings.numeric_apart, report=report)
    changed, moved = counted(done.identities, "identity"), counted(done.moved, "identity")
    click.echo(f"{changed} got another person; facts of {moved} were moved.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def flush(*, yes: bool) -> None:
    """Delete all imported rows.

    Tables, time partitions and filters stay. The bucket is not changed, and Dagster's sensor imports
    everything again. Stop the sensor first if you do not want that.

    \b
    Example:
        $ kmdb flush --yes
        kmdb on localhost:3306 is empty. Dagster's sensor will import everything again.
    """
    from kmdb_dagster.warehouse.maintenance.flush import flush as run

    with warehouse(load_settings()) as opened:
        if not yes:
            confirm_by_name(opened, "delete every imported row")
        run(opened.engine)
        click.echo(f"{opened.name} is empty. Dagster's sensor will import everything again.")


COMMANDS = (migrate, partition, index, realias, flush)

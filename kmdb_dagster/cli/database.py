"""Commands on the database: ``migrate``, ``partition``, ``index``, ``realias``, ``flush``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import click

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse


@contextmanager
def warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The warehouse that the settings name."""
    opened = Warehouse(settings.required_database())
    try:
        yield opened
    finally:
        opened.close()


def confirm_by_name(opened: Warehouse, deed: str) -> None:
    """Ask for the name of the database, and end the command if another one is typed."""
    typed = click.prompt(f"To {deed} of {opened.name}, type the name of the database", default="", show_default=False)
    if typed != opened.database:
        raise PermanentError("Nothing is deleted: that is not the name of the database.")


@contextmanager
def progress_reports(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """A line at the terminal that says what is being done, how much of it is done, and of how much."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(first, total=None)

        def report(what: str, done: int, of: int) -> None:
            progress.update(task, description=what, completed=done, total=of or None)

        yield report


@click.command()
def migrate() -> None:
    """Create the tables, or bring them up to date.

    \b
    Example:
        DATABASE_URL=mysql://kmdb:secret@localhost/kmdb kmdb migrate
    """
    from kmdb_dagster.warehouse.schema.migrations import migrate as run

    with warehouse(load_settings()) as opened:
        before, after = run(opened.engine)
        click.echo(
            f"{opened.name}: schema {after}" + (" already." if before == after else f" (was {before or 'none'}).")
        )


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print the statements.")
@click.option(
    "--drop-before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Instead, drop the facts before this day, by whole partitions. The Parquet stays.",
)
@click.option("--yes", is_flag=True, help="Do not ask before facts are dropped.")
def partition(*, dry_run: bool, drop_before: datetime | None, yes: bool) -> None:
    """Split the large tables by time, or add the partitions that are missing.

    Up to KMDB_MAX_DATE, or 90 days from today; KMDB_MIN_DATE counts the first time only.

    \b
    Example:
        KMDB_MIN_DATE=2014-01-01 KMDB_DAYS_PER_PARTITION=7 kmdb partition --dry-run
        kmdb partition --drop-before 2016-01-01 --dry-run
    """
    settings = load_settings()
    with warehouse(settings) as opened:
        if drop_before:
            _drop(opened, drop_before.date(), dry_run=dry_run, yes=yes)
        else:
            _add(opened, settings, dry_run=dry_run)


def _add(opened: Warehouse, settings: Settings, *, dry_run: bool) -> None:
    from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all

    plans = plan_all(
        opened.engine,
        min_date=settings.min_date,
        max_date=settings.max_date,
        days=settings.days_per_partition,
        today=datetime.now(UTC).date(),
    )
    for plan in plans:
        for statement in plan.statements() if dry_run else ():
            click.echo(f"{statement};")
    if not dry_run:
        apply_plans(opened.engine, plans)
    for plan in plans:
        verb = "would be added" if dry_run else "added"
        click.echo(f"{plan.table}: {len(plan.bounds)} partitions {verb} to {plan.existing}.", err=dry_run)


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
    """Take the indexes of events and properties away for a first import, and build them after it.

    \b
    Example:
        kmdb index drop
        kmdb import
        kmdb index build
    """


@index.command()
def drop() -> None:
    """Take them away: imports are faster, queries read whole tables, facts that are to follow a person wait.

    \b
    Example:
        kmdb index drop
    """
    from kmdb_dagster.warehouse.maintenance.indexes import drop as run

    with warehouse(load_settings()) as opened:
        run(opened.engine)
        click.echo("The indexes of events and properties are away. After the import: `kmdb index build`.")


@index.command()
def build() -> None:
    """Build those that are away, then let the facts that wait follow. Broken off, it can be run again.

    \b
    Example:
        kmdb index build
    """
    from kmdb_dagster.warehouse.identity.user_map import move_facts
    from kmdb_dagster.warehouse.maintenance.indexes import build as run

    with warehouse(load_settings()) as opened:
        run(opened.engine)
        moved = move_facts(opened.engine)
        click.echo(f"The indexes of events and properties are there. Facts of {moved} identities were moved.")


@click.command()
def realias() -> None:
    """Make the user map anew from the table `aliases`, and put every fact under its person.

    Imports keep the map up to date by themselves. This puts other `placeholder_identities`, other
    `ignored_users` and another KMDB_NUMERIC_APART in force, and repairs what was changed by hand. It may be broken
    off: run again, it goes on.

    \b
    Example:
        kmdb realias
    """
    from kmdb_dagster.warehouse.identity.rebuild import realias as run

    settings = load_settings()
    with warehouse(settings) as opened, progress_reports("waiting for the map") as report:
        done = run(opened.engine, opened.generation(), numeric_apart=settings.numeric_apart, report=report)
    click.echo(f"{done.identities} identities got another person; facts of {done.moved} identities were moved.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def flush(*, yes: bool) -> None:
    """Delete everything that was imported. The tables, their partitions and the filters stay.

    \b
    Example:
        kmdb flush --yes
    """
    from kmdb_dagster.warehouse.maintenance.flush import flush as run

    with warehouse(load_settings()) as opened:
        if not yes:
            confirm_by_name(opened, "delete every imported row")
        run(opened.engine)
        click.echo(f"{opened.name} is empty. Dagster's sensor will import everything again.")


COMMANDS = (migrate, partition, index, realias, flush)

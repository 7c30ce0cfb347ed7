"""The commands ``columnar refresh``, ``rebuild`` and ``status``: the copy of the facts in Parquet."""

import json

import click

from kmdb_dagster.cli.database import progress_reports, warehouse
from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.settings import load_settings


@click.group()
def columnar() -> None:
    """Copy the facts to Parquet, for DuckDB and other engines.

    The copy is in KMDB_COLUMNAR_URL, and is derived from the tables. `facts.sql` in it makes views for DuckDB.

    \b
    Example:
        kmdb columnar refresh
        duckdb -init var/data/columnar/facts.sql
    """


@columnar.command("refresh")
def refresh_command() -> None:
    """Rewrite the time partitions whose facts changed.

    The first time, it writes everything. Readers see the previous copy until it is done. If it is interrupted, run it
    again.

    \b
    Example:
        $ kmdb columnar refresh
        The columnar copy is current: 255 events and 729 properties, revision 3. 6 files were written.
    """
    _refresh(again=False)


@columnar.command()
def rebuild() -> None:
    """Write the whole copy again.

    Also makes the folder in KMDB_COLUMNAR_URL the copy of this database, in place of another one.

    \b
    Example:
        $ kmdb columnar rebuild
        The columnar copy is current: 255 events and 729 properties, revision 3. 6 files were written.
    """
    _refresh(again=True)


@columnar.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show as of when the copy is, and whether it is current.

    Exits with code 1 if it is not.

    \b
    Example:
        kmdb columnar status
    """
    from kmdb_dagster.columnar.status import read_status

    settings = load_settings()
    with warehouse(settings) as opened:
        found = read_status(opened.engine, settings.columnar_folder)
    manifest = found.manifest
    values = {
        "folder": str(settings.columnar_folder),
        "made_at": manifest and f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC",
        "newest_revision": manifest and manifest.state.newest_revision,
        "events": manifest and manifest.rows("events"),
        "properties": manifest and manifest.rows("properties"),
        "bytes": manifest and manifest.bytes,
        "days_behind": found.days_behind,
        "is_current": found.is_current,
        "next_step": found.next_step,
    }
    if as_json:
        click.echo(json.dumps(values))
    else:
        for name, value in values.items():
            click.echo(for_terminal_line(f"{name.replace('_', ' '):>16}: {'none' if value is None else value}"))
    if not found.is_current:
        click.get_current_context().exit(1)


def _refresh(*, again: bool) -> None:
    from kmdb_dagster.columnar.refresh import refresh
    from kmdb_dagster.lake import Lake

    settings = load_settings()
    with warehouse(settings) as opened, progress_reports("waiting for another refresh") as report:
        done = refresh(opened.engine, Lake(settings.data_folder), settings.columnar_folder, again=again, report=report)
    manifest = done.manifest
    click.echo(
        f"The columnar copy is current: {manifest.rows('events'):,} events and {manifest.rows('properties'):,} "
        f"properties, revision {manifest.state.newest_revision}. {done.files_written} files were written."
    )


COMMANDS = (columnar,)

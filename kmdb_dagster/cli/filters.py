"""The command ``filter``: what imports exclude. An identity is never an argument, because other users can read them."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

import click

from kmdb_dagster.cli.database import progress_reports, warehouse
from kmdb_dagster.cli.status_lines import filter_lines
from kmdb_dagster.identity_list import Named, parse_identities
from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.settings import Settings, load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.filter_changes import Change, NameList
from kmdb_dagster.wording import counted

DRY_RUN = click.option("--dry-run", is_flag=True, help="Only count the rows that a reload would add or remove.")
NAMES = click.argument("names_given", metavar="NAME...", nargs=-1, required=True)
FILE = click.argument("file", type=click.File("rb"), required=False)
ASKS = "Asks for an identity, or reads FILE, an identity a line (- is standard input)."
SUMMARIES = {
    NameList.IGNORE: "Identities whose events and properties are excluded.",
    NameList.PLACEHOLDER: "Identities that no person has, such as anonymous.",
    NameList.WHITELIST: "Events that are imported; an empty list admits all.",
    NameList.BLACKLIST: "Properties that are excluded.",
}
EXAMPLES = {
    NameList.IGNORE: "people.txt",
    NameList.PLACEHOLDER: "people.txt",
    NameList.WHITELIST: "'signed up' upgraded",
    NameList.BLACKLIST: "'user agent'",
}


@click.group("filter")
def filters() -> None:
    """Show and change what imports exclude.

    A change applies to what is imported from then on. `kmdb filter apply` reloads the rest.

    \b
    Example:
        kmdb filter blacklist add --dry-run 'user agent'
        kmdb filter blacklist add 'user agent'
        kmdb filter apply
    """


@filters.command("list")
def show() -> None:
    """Show how many names each filter has.

    Also shows which revisions were loaded with other filters. No name is printed.

    \b
    Example:
        kmdb filter list
    """
    from kmdb_dagster.warehouse.maintenance.filter_changes import read_filters_in_force

    settings = load_settings()
    with warehouse(settings) as opened:
        for name, value in filter_lines(read_filters_in_force(opened.engine, numeric_apart=settings.numeric_apart)):
            click.echo(f"{name:<14} {value}")


@filters.command()
def preview() -> None:
    """Count the rows that a reload would add or remove.

    Reads the Parquet of the revisions that were loaded with other filters, of at most 1,000 of them. It changes
    nothing.

    \b
    Example:
        kmdb filter preview
    """
    settings = load_settings()
    with warehouse(settings) as opened:
        _echo_preview(opened, settings, [])


@filters.command()
def apply() -> None:
    """Reload what was loaded with other filters.

    Rebuilds the user map first, if placeholders, ignored identities or KMDB_NUMERIC_APART changed. Then requests a
    backfill from Dagster, as the job `apply_filters` does. Its daemon must run: `kmdb ui` starts it.

    \b
    Example:
        kmdb filter apply
    """
    from kmdb_dagster.dagster_ext.backfills import request_reload
    from kmdb_dagster.dagster_ext.instance import open_instance, require_daemon
    from kmdb_dagster.defs.resources import Kmdb
    from kmdb_dagster.warehouse.identity.rebuild import realias
    from kmdb_dagster.warehouse.identity.rules import is_rule_pending

    settings = load_settings()
    settings.required_database()
    with open_instance() as instance, warehouse(settings) as opened:
        require_daemon(instance)
        if is_rule_pending(opened.engine, numeric_apart=settings.numeric_apart):
            with progress_reports("waiting for the lock on the map") as report:
                done = realias(opened.engine, opened.generation(), numeric_apart=settings.numeric_apart, report=report)
            click.echo(f"{counted(done.identities, 'identity')} got another person.")
        requested = request_reload(instance, Kmdb())
        if requested.revisions:
            click.echo(f"Backfill {requested.id}: {counted(len(requested.revisions), 'revision')}.")
        else:
            click.echo("Nothing to reload: every imported revision follows the filters, or is being loaded.")


def _commands(names: NameList) -> click.Group:
    """Make the commands of a list: add, remove, list."""
    name = names.name.lower()
    group = click.Group(name, help=_help(SUMMARIES[names], f"{name} add {EXAMPLES[names]}", f"{name} list"))
    for verb in ("add", "remove"):
        summary = (
            f"{verb.capitalize()} identities.\n\n{ASKS}" if names.holds_identities else f"{verb.capitalize()} names."
        )
        run = _change_identities(names, verb) if names.holds_identities else _change(names, verb)
        group.add_command(click.command(verb, help=_help(summary, f"{name} {verb} {EXAMPLES[names]}"))(run))
    group.add_command(_count(name, names) if names.holds_identities else _print(name, names))
    return group


def _help(text: str, *examples: str) -> str:
    return "\n".join([f"{text}\n", "\b", "Example:", *(f"    kmdb filter {example}" for example in examples)])


def _change(names: NameList, verb: str) -> Callable[..., None]:
    @NAMES
    @DRY_RUN
    def run(names_given: tuple[str, ...], *, dry_run: bool) -> None:
        settings = load_settings()
        with warehouse(settings) as opened:
            _apply(opened, settings, Change(names, **{verb: frozenset(names_given)}), dry_run=dry_run)

    return run


def _change_identities(names: NameList, verb: str) -> Callable[..., None]:
    @FILE
    @DRY_RUN
    def run(file: BinaryIO | None, *, dry_run: bool) -> None:
        settings = load_settings()
        named = parse_identities(click.prompt("Identity", type=str, err=True).encode() if file is None else file.read())
        with warehouse(settings) as opened:
            given = _added(opened, named) if verb == "add" else {form for item in named for form in item.forms}
            _apply(opened, settings, Change(names, **{verb: frozenset(given)}), dry_run=dry_run)

    return run


def _added(opened: Warehouse, named: Sequence[Named]) -> set[str]:
    """Return the first form of each line that is in the database; of a line without one the form without blanks."""
    from kmdb_dagster.digest import digest
    from kmdb_dagster.erasure.requests import find_digests

    there = find_digests(opened.engine, {digest(form) for item in named for form in item.forms})
    return {next((form for form in item.forms if digest(form) in there), item.forms[-1]) for item in named}


def _apply(opened: Warehouse, settings: Settings, change: Change, *, dry_run: bool) -> None:
    from kmdb_dagster.warehouse.maintenance.filter_changes import apply_change

    if not dry_run:
        changed = apply_change(opened.engine, change)
        click.echo(f"{change.names}: {changed.added:,} added, {changed.removed:,} removed.")
        if changed.erased:
            click.echo(
                f"Not added, because imports exclude them already: {counted(changed.erased, 'erased identity')}."
            )
    if change.names is NameList.PLACEHOLDER:
        click.echo("Placeholders exclude no rows. `kmdb realias` or `kmdb filter apply` puts the change into force.")
        return
    _echo_preview(opened, settings, [change] if dry_run else [])
    if not dry_run:
        click.echo("Run `kmdb filter apply` to reload.")


def _echo_preview(opened: Warehouse, settings: Settings, changes: Sequence[Change]) -> None:
    from kmdb_dagster.lake import Lake
    from kmdb_dagster.pipeline.filter_preview import preview_reload
    from kmdb_dagster.warehouse.connection.server import transaction
    from kmdb_dagster.warehouse.maintenance.filter_changes import filters_after

    with transaction(opened.engine) as connection:
        wanted = filters_after(connection, changes)
    click.echo(str(preview_reload(opened.engine, Lake(settings.data_folder), wanted)))


def _print(name: str, names: NameList) -> click.Command:
    @click.command("list", help=_help("Print the names.", f"{name} list"))
    def run() -> None:
        for found in _read(names):
            click.echo(for_terminal_line(found))

    return run


def _count(name: str, names: NameList) -> click.Command:
    @click.command("list", help=_help("Count the identities.", f"{name} list"))
    @click.option("--show-identities", is_flag=True, help="Print them. They are personal data.")
    def run(*, show_identities: bool) -> None:
        found = _read(names)
        click.echo(f"{counted(len(found), 'identity')}.", err=show_identities)
        for identity in found if show_identities else []:
            click.echo(for_terminal_line(identity))

    return run


def _read(names: NameList) -> list[str]:
    from kmdb_dagster.warehouse.connection.server import transaction
    from kmdb_dagster.warehouse.maintenance.filter_changes import read_names

    with warehouse(load_settings()) as opened, transaction(opened.engine) as connection:
        return sorted(read_names(connection, names))


for _names in SUMMARIES:
    filters.add_command(_commands(_names))

COMMANDS = (filters,)

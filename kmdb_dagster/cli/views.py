"""Commands on the views of events and people: ``view create``, ``view people``, ``view list``, ``view drop``."""

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.settings import load_settings


@click.group()
def view() -> None:
    """Create views with one column for each property.

    A view has one row for each event of a name, or for each person. Create it again to add new properties and to choose
    the types again.

    \b
    Example:
        $ kmdb view create "signed up"
        event_signed_up: 2 properties.
          BIGINT         berths
          text           plan name
        $ kmdb view list
        event_signed_up                          6 columns
    """


@view.command()
@click.argument("event")
@click.option(
    "--property", "properties", multiple=True, help="A property that gets a column; repeatable. [default: all]"
)
def create(event: str, properties: tuple[str, ...]) -> None:
    """Create or replace the view of an event's name.

    One row for each event of this name, one column for each property. A column has a type if all its values fit it.

    \b
    Example:
        $ kmdb view create "signed up" --property "plan name"
        event_signed_up: 1 properties.
          text           plan name
    """
    from kmdb_dagster.analysis.views import create_event_view

    with warehouse(load_settings()) as opened:
        made = create_event_view(opened.engine, event, properties)
    click.echo(f"{for_terminal_line(made.name)}: {len(made.columns)} properties.")
    for column in made.columns:
        click.echo(f"  {column.type.replace('SIGNED', 'BIGINT') or 'text':14} {for_terminal_line(column.name)}")
    if made.excluded:
        click.echo(f"{made.excluded} more properties do not fit into a view. Choose some with --property.")


@view.command()
@click.option(
    "--property", "properties", multiple=True, help="A property whose latest value gets a column; repeatable."
)
def people(properties: tuple[str, ...]) -> None:
    """Create or replace the view of people.

    One row for each person: canonical identity, number of identities and events, first and last event.

    \b
    Example:
        $ kmdb view people --property "plan name"
        people: the latest value of 1 properties.
    """
    from kmdb_dagster.analysis.views import create_people_view

    with warehouse(load_settings()) as opened:
        made = create_people_view(opened.engine, properties)
    click.echo(f"{made.name}: the latest value of {len(made.columns)} properties.")


@view.command("list")
def list_() -> None:
    """List the views.

    \b
    Example:
        $ kmdb view list
        event_signed_up                          6 columns
    """
    from kmdb_dagster.analysis.views import list_views

    with warehouse(load_settings()) as opened:
        for found in list_views(opened.engine):
            click.echo(f"{for_terminal_line(found.name):40} {found.columns} columns")


@view.command()
@click.argument("name")
def drop(name: str) -> None:
    """Drop a view by its name.

    The data stays.

    \b
    Example:
        $ kmdb view drop event_signed_up
    """
    from kmdb_dagster.analysis.views import drop_view

    with warehouse(load_settings()) as opened:
        drop_view(opened.engine, name)


COMMANDS = (view,)

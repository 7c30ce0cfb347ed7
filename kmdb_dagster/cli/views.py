"""Commands on the views that stand for an event or for people: ``view create``, ``people``, ``list``, ``drop``."""

import click

from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.escaping import for_terminal_line
from kmdb_dagster.settings import load_settings


@click.group()
def view() -> None:
    """Views with one row an event, or one a person, and a column for each property.

    Made again, a view takes in properties that are new, and decides the types anew.

    \b
    Example:
        kmdb view create "signed up"
        kmdb view people --property "plan name"
        kmdb view list
    """


@view.command()
@click.argument("event")
@click.option("--property", "properties", multiple=True, help="A property that gets a column. All, if none is named.")
def create(event: str, properties: tuple[str, ...]) -> None:
    """Make the view of an EVENT, or make it anew.

    \b
    Example:
        kmdb view create "signed up" --property "plan name" --property source
    """
    from kmdb_dagster.analysis.views import create_event_view

    with warehouse(load_settings()) as opened:
        made = create_event_view(opened.engine, event, properties)
    click.echo(f"{for_terminal_line(made.name)}: {len(made.columns)} properties.")
    for column in made.columns:
        click.echo(f"  {column.type.replace('SIGNED', 'BIGINT') or 'text':14} {for_terminal_line(column.name)}")
    if made.left_out:
        click.echo(f"No room for {made.left_out} more. Name those that you want with --property.")


@view.command()
@click.option("--property", "properties", multiple=True, help="A property whose latest value gets a column.")
def people(properties: tuple[str, ...]) -> None:
    """Make the view `people`, or make it anew: who was seen when, under how many identities.

    \b
    Example:
        kmdb view people --property "plan name"
    """
    from kmdb_dagster.analysis.views import create_people_view

    with warehouse(load_settings()) as opened:
        made = create_people_view(opened.engine, properties)
    click.echo(f"{made.name}: the latest value of {len(made.columns)} properties.")


@view.command("list")
def list_() -> None:
    """Name the views that were made.

    \b
    Example:
        kmdb view list
    """
    from kmdb_dagster.analysis.views import list_views

    with warehouse(load_settings()) as opened:
        for found in list_views(opened.engine):
            click.echo(f"{for_terminal_line(found.name):40} {found.columns} columns")


@view.command()
@click.argument("name")
def drop(name: str) -> None:
    """Drop the view NAME. The data stays.

    \b
    Example:
        kmdb view drop event_signed_up
    """
    from kmdb_dagster.analysis.views import drop_view

    with warehouse(load_settings()) as opened:
        drop_view(opened.engine, name)


COMMANDS = (view,)

"""The command ``person``: one person's identities, profile and timeline. An identity is never an argument."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click
from sqlalchemy import Engine

from kmdb_dagster.cli.ask import REMINDER, writable_file
from kmdb_dagster.cli.database import warehouse
from kmdb_dagster.digest import digest
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.identity_list import Named, parse_identities
from kmdb_dagster.output_escaping import for_terminal_line
from kmdb_dagster.private_file import private_file
from kmdb_dagster.settings import load_settings

if TYPE_CHECKING:
    from kmdb_dagster.analysis.person import Line, Person

MAX_SHOWN_IDENTITIES = 20
DEFAULT_LINES = 20


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option(
    "--lines", type=click.IntRange(0), default=DEFAULT_LINES, show_default=True, help="Latest lines of the timeline."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable_file,
    help="Write everything to this file, for its owner only: an answer to a request for access (GDPR, article 15).",
)
def person(file: BinaryIO | None, *, lines: int, json_file: Path | None) -> None:
    """Show a person: identities, latest properties, timeline.

    Asks for an identity, or reads FILE, an identity a line (- is standard input). Any identity of a person will do. A
    person whose erasure is requested is not found. With --json, each line of the file is a person.

    \b
    Example:
        $ kmdb person
        Identity: bob@example.com
        12: 2 identities, 3 events from 2014-01-01 to 2014-01-02
        ...
    """
    named = parse_identities(click.prompt("Identity", type=str, err=True).encode() if file is None else file.read())
    with warehouse(load_settings()) as opened:
        people, missing = _find(opened.engine, named)
        if json_file is not None:
            with private_file(json_file) as written:
                _write(opened.engine, people, written)
            click.echo(f"Wrote {json_file}: {len(people):,} people. {REMINDER}", err=True)
        else:
            for one in people:
                _show(opened.engine, one, lines)
    if missing:
        raise PermanentError(
            f"{len(missing):,} of {len(named):,} identities are not in the database: "
            f"line {', '.join(map(str, missing[:MAX_SHOWN_IDENTITIES]))}."
        )


def _find(engine: Engine, named: Sequence[Named]) -> tuple[list[int], list[int]]:
    """Return the people, each once, and the numbers of the lines that name none."""
    from kmdb_dagster.analysis.person import find_people
    from kmdb_dagster.warehouse.connection.server import transaction

    forms = {one.line: [digest(form) for form in one.forms] for one in named}
    with transaction(engine) as connection:
        found = find_people(connection, {form for line in forms.values() for form in line})
    people = {line: next((found[form] for form in of if form in found), None) for line, of in forms.items()}
    return list(dict.fromkeys(filter(None, people.values()))), [line for line, one in people.items() if one is None]


def _show(engine: Engine, number: int, lines: int) -> None:
    from kmdb_dagster.analysis.person import read_lines, read_person
    from kmdb_dagster.warehouse.connection.server import transaction

    with transaction(engine) as connection:
        found = read_person(connection, number)
        _echo_person(found)
        click.echo(f"Timeline, the latest {lines} lines")
        for line in islice(read_lines(connection, number), lines):
            click.echo(f"  {line.t}  {for_terminal_line(_described(line))}")


def _echo_person(found: "Person") -> None:
    name = found.identities[0]
    seen = f" from {found.first_seen:%Y-%m-%d} to {found.last_seen:%Y-%m-%d}" if found.first_seen else ""
    click.echo(f"{for_terminal_line(name)}: {len(found.identities)} identities, {found.events:,} events{seen}")
    click.echo("Identities")
    for identity in found.identities[:MAX_SHOWN_IDENTITIES]:
        click.echo(f"  {for_terminal_line(identity)}")
    if len(found.identities) > MAX_SHOWN_IDENTITIES:
        click.echo(f"  … and {len(found.identities) - MAX_SHOWN_IDENTITIES:,} more: use --json for all of them")
    click.echo("Latest properties")
    width = max((len(for_terminal_line(latest.name)) for latest in found.properties), default=0)
    for latest in found.properties:
        value = for_terminal_line(latest.value or "")
        click.echo(f"  {for_terminal_line(latest.name):{width}}  {value}  ({latest.t:%Y-%m-%d})")


def _described(line: "Line") -> str:
    values = ", ".join(f"{name} = {value or ''}" for name, value in line.properties.items())
    return f"{line.event}: {values}" if line.event and values else line.event or f"(set) {values}"


def _write(engine: Engine, people: Sequence[int], file: TextIO) -> None:
    """Write each person as a line of JSON. The timeline is streamed, because it may be long."""
    from kmdb_dagster.analysis.person import read_lines, read_person
    from kmdb_dagster.warehouse.connection.server import transaction

    for number in people:
        with transaction(engine) as connection:
            found = read_person(connection, number)
            head = {
                "person": found.identities[0],
                **{name: getattr(found, name) for name in ("identities", "events", "first_seen", "last_seen")},
                "properties": [latest._asdict() for latest in found.properties],
            }
            file.write(_json(head)[:-1] + ', "lines": [')
            file.writelines(
                (", " if place else "") + _json(line._asdict())
                for place, line in enumerate(read_lines(connection, number))
            )
            file.write("]}\n")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=datetime.isoformat)


COMMANDS = (person,)

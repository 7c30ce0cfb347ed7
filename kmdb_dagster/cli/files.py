"""Commands on files, without a database: ``inspect`` and ``sample``."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import track

from kmdb_dagster.km_export.file_formats import decompressed, name_of_other_format
from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.km_export.reasons import REASONS
from kmdb_dagster.km_export.record_json import as_json
from kmdb_dagster.km_export.records import Event, PropertySet, Reason, Record, Rejected
from kmdb_dagster.lake.parsed import KINDS
from kmdb_dagster.output_escaping import for_terminal
from kmdb_dagster.source.folder import CHUNK

MAX_LINE_NUMBERS = 5

KIND_LABELS = {
    "event": "events",
    "property_set": "property sets",
    "alias": "aliases",
    "properties": "property values",
    "blank": "blank lines",
    "rejected": "rejected lines",
}


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_lines", is_flag=True, help="Print a JSON line for each line. Shows personal data.")
def inspect(file: BinaryIO, *, as_lines: bool) -> None:
    """Show what an import would make of the lines of a file.

    FILE is a revision, plain or gzip; - reads standard input. Nothing is imported. Rejected lines are counted by
    reason, with the numbers of the first five.

    \b
    Example:
        $ kmdb sample --revisions 3 --lines 100 bucket
        bucket holds 0.1 MB.
        $ kmdb inspect bucket/revisions/3.json
              100 lines
               85 events
               10 property sets
                5 aliases
              229 property values
    """
    chunks = decompressed(_chunks(file))
    head = next(chunks, b"")
    records = read_lines(chain([head], chunks))
    if as_lines:
        for record in records:
            click.echo(for_terminal(json.dumps(as_json(record), ensure_ascii=False)))
    else:
        _summarize(records)
        if other := name_of_other_format(head):
            click.echo(f"The file looks like {other}.")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _summarize(records: Iterator[Record]) -> None:
    counts: Counter[str] = Counter()
    reasons: Counter[Reason] = Counter()
    first_lines: dict[Reason, list[int]] = {}
    lines = 0
    for record in records:
        lines = record.line
        counts[KINDS[type(record)]] += 1
        if isinstance(record, Rejected):
            reasons[record.reason] += 1
            if reasons[record.reason] <= MAX_LINE_NUMBERS:
                first_lines.setdefault(record.reason, []).append(record.line)
        elif isinstance(record, Event | PropertySet):
            counts["properties"] += len(record.properties)
    click.echo(f"{lines:>9} lines")
    for kind, label in KIND_LABELS.items():
        if counts[kind]:
            click.echo(f"{counts[kind]:>9} {label}")
    for reason, count in sorted(reasons.items()):
        numbers = ", ".join(map(str, first_lines[reason])) + (", …" if count > MAX_LINE_NUMBERS else "")
        click.echo(f"{count:>13} {reason} ({REASONS[reason]}), line {numbers}")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--revisions", default=30, show_default=True, type=click.IntRange(1), help="Number of revision files.")
@click.option("--lines", default=2000, show_default=True, type=click.IntRange(1), help="Lines of each file.")
@click.option("--seed", type=int, help="Seed of the random numbers, for another export of the same shape.")
def sample(folder: Path, revisions: int, lines: int, seed: int | None) -> None:
    """Write an invented export to a folder, to try things out.

    FOLDER gets the layout of a KissMetrics bucket: set KMDB_LOCAL_BUCKET to it. The same options give the same files.
    No person in them exists.

    \b
    Example:
        $ kmdb sample --revisions 3 --lines 100 bucket
        bucket holds 0.1 MB.
        $ KMDB_LOCAL_BUCKET=bucket kmdb ui
    """
    from kmdb_dagster.sample import DEFAULT_SEED, sample_bucket

    total = 0
    files = sample_bucket(revisions, lines, seed=DEFAULT_SEED if seed is None else seed)
    for key, content in track(files, "Writing", total=revisions, console=Console(stderr=True), transient=True):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        total += len(content)
    click.echo(f"{folder} holds {total / 1e6:.1f} MB.")


COMMANDS = (inspect, sample)

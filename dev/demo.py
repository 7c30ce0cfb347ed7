"""`dev/demo`: a sample bucket, imported through Dagster into a private MariaDB, and questions asked of it.

Here is the order of the steps and what is said about them; the steps themselves are in ``site``. Run again, it
picks up whatever is there: servers that answer, data that is in. ``--more 30`` adds revisions, also while the UI runs.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from sqlalchemy import Engine

from dev import report, site
from dev.fleet import Fleet
from dev.processes import DevError, Process, alive, tail

JOBS = ("check_everything", "answer_questions")
"""They fill the pages of the assets that no revision makes."""
PATIENCE = 300.0
"""Seconds without a new revision until the demo gives up."""


class Prepared(NamedTuple):
    """A running demo."""

    group: Fleet
    settings: Mapping[str, str]
    engine: Engine
    daemon: Process
    before: set[int]
    """Revisions that were in before the daemon was started."""


def main() -> int:
    """Run the demo, or print what prevents it."""
    parser = argparse.ArgumentParser(prog="dev/demo", description="Import a sample bucket through Dagster.")
    parser.add_argument("--more", type=int, default=0, metavar="N", help="add N revisions to the bucket first")
    more = parser.parse_args().more
    console = Console(highlight=False)
    try:
        _demo(console, more)
    except DevError as error:
        console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
        console.print(f"What was done stays. Logs: {site.FOLDER}. To start over: dev/clean; dev/demo")
        return 1
    except KeyboardInterrupt:
        console.print("\nThe import goes on without you: [bold]dev/stop[/bold] ends it.")
        return 130
    return 0


def _demo(console: Console, more: int) -> None:
    prepared = prepare(console, more)
    wanted = site.sample_revisions()
    _say(console, 6, f"Importing: the sensor finds the {len(wanted)} revisions and asks for runs over them")
    wait(prepared, wanted, console)
    _say(console, 7, "The checks of all tables, the report, and the questions")
    for job in JOBS:
        site.run_job(job, prepared.settings)
    console.print()
    report.show(prepared.engine, console)
    old = len(prepared.before & wanted)
    console.print(f"\nImported {len(wanted) - old} new revisions; {old} were in already.")
    console.print("Next: [bold]dev/ui[/bold] shows all this in Dagster, [bold]dev/stop[/bold] ends the servers.")


def prepare(console: Console, more: int = 0) -> Prepared:
    """Run every step up to the start of the daemon, which imports."""
    site.leave_the_user_out()
    group = site.fleet()
    _say(console, 1, "Servers of its own: MariaDB, Redis, S3")
    servers = site.start_servers(group)
    for server in servers:
        console.print(f"   {server.kind.name:8}{server.url}")
    last = site.make_sample(more)
    _say(console, 2, f"A sample export: {last} revisions of {site.LINES:,} lines")
    settings = site.write_settings(servers)
    console.print(f"   settings in {site.SETTINGS.relative_to(site.ROOT)}")
    _say(console, 3, f"The export in the bucket {site.BUCKET}")
    uploaded = site.upload(servers.s3)
    console.print(f"   {uploaded} objects uploaded" if uploaded else "   all of it is there already")
    _say(console, 4, "The tables: kmdb migrate, kmdb partition")
    site.create_databases(servers.mariadb)
    site.migrate(settings)
    _say(console, 5, "Dagster, with its history in MariaDB too")
    site.prepare_dagster(settings)
    engine = site.engine(servers.mariadb)
    before = report.progress(engine).imported
    return Prepared(group, settings, engine, site.start_daemon(group, settings), before)


def wait(prepared: Prepared, wanted: set[int], console: Console) -> None:
    """Show a progress bar until all revisions are imported.

    Raises:
        DevError: the daemon ended, or nothing new came in for a long time.
    """
    columns = (TextColumn("   revisions"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=len(wanted))
        seen, moved = -1, time.monotonic()
        while seen < len(wanted):
            now = report.progress(prepared.engine)
            if len(now.imported & wanted) > seen:
                seen, moved = len(now.imported & wanted), time.monotonic()
                bar.update(task, completed=seen)
                continue
            _check(prepared, now, wanted, time.monotonic() - moved)
            time.sleep(1)


def _check(prepared: Prepared, now: report.Progress, wanted: set[int], still: float) -> None:
    if alive(prepared.daemon) and still < PATIENCE:
        return
    what = f"nothing new came in for {still:.0f} s" if alive(prepared.daemon) else "Dagster's daemon ended"
    reasons = "".join(f"\n   revision {number}: {reason}" for number, reason in sorted(now.failed.items())[:5])
    log = prepared.group.log(site.DAEMON)
    raise DevError(
        f"The import stands still: {what}, and {len(wanted - now.imported)} of {len(wanted)} revisions are "
        f"not in.{reasons}\nThe end of {log}:\n{tail(log, 30)}"
    )


def _say(console: Console, number: int, words: str) -> None:
    console.print(f"[bold]{number}. {words}[/bold]")


if __name__ == "__main__":
    sys.exit(main())

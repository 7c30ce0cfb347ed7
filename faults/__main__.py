"""The command `python -m faults`."""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from dev.servers import MARIADB, MYSQL
from faults import in_dagster, in_lost_commits, in_server_outages, in_the_database, in_the_files, rounds, site
from faults.database import given, own
from faults.imports import HungError
from faults.report import Line, table, write

KINDS = {
    kind.name: kind
    for kind in (*in_the_database.KINDS, *in_lost_commits.KINDS, *in_server_outages.KINDS, *in_the_files.KINDS)
}


SHORT_OF_DAGSTER = "daemon, code server and runs killed"
"""It has all that the others kill."""


def main() -> int:
    """Play the rounds and print their results."""
    options = _options()
    names = _chosen(options)
    if options.list:
        print("\n".join(names))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    database = given(options.server, options.again) if options.server else None
    with tempfile.TemporaryDirectory(prefix="kmdb_faults_") as folder:
        work = Path(folder)
        database = database or own(MYSQL if options.mysql else MARIADB, work / "database")
        with database as opened, site.opened(opened, work) as place:
            server = str(opened.server())
            starts = rounds.undisturbed(place)
            lines = []
            for name in names:
                lines.append((_play if name in KINDS else _kill)(place, starts, name, options))
                if options.write:
                    write(server, lines)
    print(table(lines))
    return 0 if all(line.good for line in lines) else 1


def _chosen(options: argparse.Namespace) -> list[str]:
    """Return the names of the selected kinds."""
    names = [name for name, kind in KINDS.items() if kind.in_short or not options.short]
    names += [SHORT_OF_DAGSTER] if options.short else in_dagster.KINDS
    return [name for name in names if options.only in name]


def _play(place: site.Site, starts: rounds.Starts, name: str, options: argparse.Namespace) -> Line:
    line = Line(name)
    began = time.monotonic()
    for number in range(options.rounds):
        try:
            played = rounds.play(place, starts, KINDS[name], random.Random(f"{options.seed}/{name}/{number}"))
        except (AssertionError, HungError) as error:
            line.complaints += 1
            print(f"{name}, round {number}, seed {options.seed}: {error}", flush=True)
            continue
        line.add(played)
        if played.remark:
            print(f"{name}, round {number}: {played.remark}", flush=True)
        if not played.good:
            print(f"{name}, round {number}, seed {options.seed}: {played.difference} {played.complaint}", flush=True)
    print(f"{name}: {line.injected} rounds, {time.monotonic() - began:.0f} s. {line.words}", flush=True)
    return line


def _kill(place: site.Site, _: rounds.Starts, name: str, options: argparse.Namespace) -> Line:
    began = time.monotonic()
    try:
        words, difference = in_dagster.play(place, name, options.rounds, random.Random(f"{options.seed}/{name}"))
    except (AssertionError, HungError, TimeoutError) as error:
        print(f"{name}, seed {options.seed}: {error}", flush=True)
        return Line(name, complaints=1)
    line = Line(
        name,
        len(words),
        words.count(""),
        difference.lost,
        difference.twice,
        len(difference.tables),
        0,
        max(words, default=""),
    )
    if not line.good:
        print(f"{name}, seed {options.seed}: {difference}", flush=True)
    print(f"{name}: {line.injected} times, {time.monotonic() - began:.0f} s. {line.words}", flush=True)
    return line


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds with this in their name")
    parser.add_argument("--mysql", action="store_true", help="on a MySQL of our own instead of MariaDB")
    parser.add_argument("--list", action="store_true", help="print the names of the chosen kinds, and do nothing")
    parser.add_argument("--server", help="mysql://root@127.0.0.1:PORT, in place of a MariaDB of our own")
    parser.add_argument("--again", default="", help="the command that starts that server when it was killed")
    parser.add_argument("--short", action="store_true", help="only the kinds that continuous integration runs")
    parser.add_argument("--write", action="store_true", help="write the table into docs/explanation/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Measures the import, end to end, beside a bare LOAD DATA of the same rows: `python -m benchmarks.loading`."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.databases import make_bucket, server_of
from benchmarks.loading import Bench, Round
from benchmarks.loading.anchors import ANCHORS, anchored, require_dlt
from benchmarks.loading.bare import bare, dump
from benchmarks.loading.runs import overhead, through_dagster

COLUMNS = {"seconds": 8, "rows/s": 11, "MB/s": 8, "Python s": 9, "server s": 9, "core-s/100 MB": 15, "peak MB": 9}


def main() -> None:
    """Make the sample, start a server unless one is given, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=120)
    parser.add_argument("--lines", type=int, default=6000, help="of each revision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="mysql://root@127.0.0.1:3306; if it is not given, a MariaDB is started")
    parser.add_argument("--history", choices=("sqlite", "mysql"), default="mysql", help="where Dagster keeps its own")
    parser.add_argument(
        "--without", choices=ANCHORS, nargs="*", default=[], help="leave out what users might pick instead"
    )
    options = parser.parse_args()
    anchors = [name for name in ANCHORS if name not in options.without]
    require_dlt(anchors)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_bucket(folder / "bucket", options.revisions, options.lines)
        with server_of(options.server, folder) as server:
            bench = Bench(server, folder, options.revisions, options.history)
            run, revision = overhead(bench)
            compare(bench, options.rounds, megabytes, run)
            for anchor in anchors:
                show(ANCHORS[anchor].title, [anchored(anchor, bench) for _ in range(options.rounds)], megabytes)
            print(f"a run over one revision that is not there: {run:.1f} s; each further one: {revision * 1000:.0f} ms")


def compare(bench: Bench, rounds: int, megabytes: float, start: float) -> None:
    """Let them take turns, with one and two at a time, and print what each costs."""
    through_dagster(bench, 2)
    rows = dump(bench)
    print(f"{bench.revisions} revisions, {megabytes:.0f} MB of JSON, {rows:,} rows, {rounds} rounds, medians")
    print(" " * 30 + "".join(map(str.rjust, COLUMNS, COLUMNS.values())))
    for many in (1, 2):
        a: list[Round] = []
        b: list[tuple[Round, float]] = []
        c: list[tuple[Round, float]] = []
        for _ in range(rounds):
            a.append(bare(bench, many))
            b.append(through_dagster(bench, many))
            c.append(through_dagster(bench, many, indexed=False))
        per = partial(show, megabytes=megabytes, rows=rows)
        per(f"bare, {many} connection(s)", a)
        per(f"import, {many} run(s)", [taken for taken, _ in b])
        per("indexes built afterwards", [taken for taken, _ in c])
        ratio("import / bare", a, b, lambda taken, _: taken.seconds)
        ratio("… without a run's start", a, b, lambda taken, _: taken.seconds - start)
        ratio("indexes afterwards / bare", a, c, lambda taken, _: taken.seconds)
        ratio("… without a run's start", a, c, lambda taken, _: taken.seconds - start)
        ratio("… nor the building", a, c, lambda taken, building: taken.seconds - start - building)


def show(name: str, rounds: Sequence[Round], megabytes: float, *, rows: int | None = None) -> None:
    """A line of the table: medians."""
    seconds, python, server = (median(column) for column in zip(*(taken[:3] for taken in rounds), strict=True))
    peak = max(taken.peak for taken in rounds) / 1e6
    cells = (
        f"{seconds:.1f}",
        f"{rows / seconds:,.0f}" if rows else "",
        f"{megabytes / seconds:.2f}",
        f"{python:.1f}",
        f"{server:.1f}",
        f"{(python + server) / megabytes * 100:.1f}",
        f"{peak:.0f}",
    )
    print(f"{name:30}" + "".join(map(str.rjust, cells, COLUMNS.values())), flush=True)


def ratio(
    name: str, bares: Sequence[Round], imports: Sequence[tuple[Round, float]], seconds: Callable[[Round, float], float]
) -> None:
    """A line below it: how much longer the import takes than the bare load of the same round."""
    ratios = [seconds(*taken) / ours.seconds for ours, taken in zip(bares, imports, strict=True)]
    print(f"{name:30}{median(ratios):8.2f}   ({', '.join(f'{each:.2f}' for each in ratios)})", flush=True)


if __name__ == "__main__":
    main()

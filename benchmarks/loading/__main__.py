"""Measures the import, end to end, beside a bare LOAD DATA of the same rows: `python -m benchmarks.loading`."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.databases import make_bucket, server_of
from benchmarks.loading import Bench, Round
from benchmarks.loading.bare import bare, dump
from benchmarks.loading.runs import overhead, through_dagster


def main() -> None:
    """Make the sample, start a server unless one is given, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=120)
    parser.add_argument("--lines", type=int, default=6000, help="of each revision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="mysql://root@127.0.0.1:3306; if it is not given, a MariaDB is started")
    parser.add_argument("--history", choices=("sqlite", "mysql"), default="mysql", help="where Dagster keeps its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_bucket(folder / "bucket", options.revisions, options.lines)
        with server_of(options.server, folder) as server:
            bench = Bench(server, folder, options.revisions, options.history)
            run, revision = overhead(bench)
            compare(bench, options.rounds, megabytes, run)
            print(f"a run over one revision that is not there: {run:.1f} s; each further one: {revision * 1000:.0f} ms")


def compare(bench: Bench, rounds: int, megabytes: float, start: float) -> None:
    """Let them take turns, with one and two at a time, and print what each costs."""
    through_dagster(bench, 2)
    rows = dump(bench)
    print(f"{bench.revisions} revisions, {megabytes:.0f} MB of JSON, {rows:,} rows, {rounds} rounds, medians")
    print(f"{'':26}{'seconds':>8}{'rows/s':>11}{'MB/s':>8}{'Python s':>9}{'server s':>9}{'peak MB':>9}")
    for many in (1, 2):
        a: list[Round] = []
        b: list[tuple[Round, float]] = []
        c: list[tuple[Round, float]] = []
        for _ in range(rounds):
            a.append(bare(bench, many))
            b.append(through_dagster(bench, many))
            c.append(through_dagster(bench, many, indexed=False))
        per = partial(show, rows=rows, megabytes=megabytes)
        per(f"bare, {many} connection(s)", a)
        per(f"import, {many} run(s)", [taken for taken, _ in b])
        per("indexes built afterwards", [taken for taken, _ in c])
        ratio("import / bare", a, b, lambda taken, _: taken.seconds)
        ratio("… without a run's start", a, b, lambda taken, _: taken.seconds - start)
        ratio("indexes afterwards / bare", a, c, lambda taken, _: taken.seconds)
        ratio("… without a run's start", a, c, lambda taken, _: taken.seconds - start)
        ratio("… nor the building", a, c, lambda taken, building: taken.seconds - start - building)


def show(name: str, rounds: Sequence[Round], *, rows: int, megabytes: float) -> None:
    """A line of the table: medians."""
    seconds = median(taken.seconds for taken in rounds)
    cells = (
        f"{name:26}{seconds:8.1f}{rows / seconds:11,.0f}{megabytes / seconds:8.2f}"
        f"{median(taken.python for taken in rounds):9.1f}{median(taken.server for taken in rounds):9.1f}"
    )
    print(cells + f"{max(taken.peak for taken in rounds) / 1e6:9.0f}", flush=True)


def ratio(
    name: str, bares: Sequence[Round], imports: Sequence[tuple[Round, float]], seconds: Callable[[Round, float], float]
) -> None:
    """A line below it: how much longer the import takes than the bare load of the same round."""
    ratios = [seconds(*taken) / ours.seconds for ours, taken in zip(bares, imports, strict=True)]
    print(f"{name:26}{median(ratios):8.2f}   ({', '.join(f'{each:.2f}' for each in ratios)})", flush=True)


if __name__ == "__main__":
    main()

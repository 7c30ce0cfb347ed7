"""Measures settings of the server by a bare LOAD DATA of the same rows: `python -m benchmarks.settings`.

On MariaDBs of our own, one after another: as docs/how-to/set-up.md recommends, and with one thing different each time.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.databases import OPTIONS, make_bucket, server_of
from benchmarks.loading import Bench, Round
from benchmarks.loading.bare import bare, dump
from benchmarks.loading.runs import through_dagster

VARIANTS: dict[str, Sequence[str]] = {
    "as recommended": (),
    "innodb_buffer_pool_size = 128M": ("--innodb-buffer-pool-size=128M",),
    "innodb_log_file_size = 96M": ("--innodb-log-file-size=96M",),
    "both, as MariaDB comes": ("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M"),
    "innodb_flush_log_at_trx_commit = 1": ("--innodb-flush-log-at-trx-commit=1",),
    "with a binary log": ("--log-bin=binlog", "--server-id=1"),
    "innodb_doublewrite = OFF": ("--innodb-doublewrite=OFF",),
    "innodb_change_buffering = all": ("--innodb-change-buffering=all",),
    "innodb_adaptive_hash_index = ON": ("--innodb-adaptive-hash-index=ON",),
}
"""What is different, by the words for it."""


def main() -> None:
    """Generate the rows once, and measure the servers in alternating rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=60)
    parser.add_argument("--lines", type=int, default=6000, help="of each revision")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    taken: dict[str, list[Round]] = {words: [] for words in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        megabytes = make_bucket(folder / "bucket", options.revisions, options.lines)
        with own_server(folder, ()) as server:
            bench = Bench(server, folder, options.revisions, "mysql")
            through_dagster(bench, 2)
            print(f"{options.revisions} revisions, {megabytes:.0f} MB of JSON, {dump(bench):,} rows, one connection")
        for _ in range(options.rounds):
            for words, more in VARIANTS.items():
                with own_server(folder, more) as server:
                    taken[words].append(bare(bench._replace(server=server), 1))
    show(taken)


@contextmanager
def own_server(folder: Path, more: Sequence[str]) -> Iterator[str]:
    """Run a new server, and delete its data afterwards, because logs are large."""
    with tempfile.TemporaryDirectory(dir=folder) as name, server_of(None, Path(name), (*OPTIONS, *more)) as server:
        yield server


def show(taken: dict[str, list[Round]]) -> None:
    """Print a line for each variant."""
    usual = median(each.seconds for each in taken["as recommended"])
    print(f"{'':40}{'seconds':>8}{'server s':>9}{'times':>7}")
    for words, rounds in taken.items():
        seconds = median(each.seconds for each in rounds)
        print(f"{words:40}{seconds:8.1f}{median(each.server for each in rounds):9.1f}{seconds / usual:7.2f}")


if __name__ == "__main__":
    main()

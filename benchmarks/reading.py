"""Measures reading KM's lines and writing Parquet, beside a bare JSON parser: `python -m benchmarks.reading`."""

import argparse
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import orjson

from kmdb_dagster.km_export.reader import read_columns
from kmdb_dagster.lake import RawFile, write_parsed
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.source.folder import CHUNK

LINES = 20_000
"""Of each revision that the sample is made of."""

OCTAL = b'{"_n":"searched berths","_p":"bob@example.com","city":"Paran\\303\\241","_t":1397577453}\n'


def make(path: Path, megabytes: int) -> None:
    """Write a sample of this size. Beyond 200 MB it repeats, because generating it takes long."""
    parts: list[bytes] = []
    size = 0
    while size < min(megabytes, 200) * 1_000_000:
        parts.append(sample_revision(len(parts) + 1, lines=LINES))
        size += len(parts[-1])
    with path.open("wb") as file:
        while file.tell() < megabytes * 1_000_000:
            file.writelines(parts)


def with_more_octal(path: Path, more: Path) -> None:
    """Write the same file with a line of octal text after every hundred."""
    with path.open("rb") as source, more.open("wb") as target:
        for number, line in enumerate(source, 1):
            target.write(line)
            if number % 100 == 0:
                target.write(OCTAL)


def chunks(path: Path) -> Iterator[bytes]:
    """Read the file as the pipeline does."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def bare(lines: list[bytes]) -> None:
    """Measure the JSON parser alone, which skips lines that it refuses."""
    for line in lines:
        try:
            orjson.loads(line)
        except ValueError:
            continue


def read(path: Path) -> None:
    """Measure the reader."""
    for _ in read_columns(chunks(path)):
        pass


def parse(path: Path) -> None:
    """Measure the reader and writing Parquet."""
    write_parsed(
        path.with_suffix(".parquet"), 1, RawFile(path, "etag", path.stat().st_size), read_columns(chunks(path))
    )


def compare(path: Path, title: str, rounds: int) -> None:
    """Print the cost of each of the three, in alternating rounds."""
    lines = path.read_bytes().split(b"\n")[:-1]
    work: dict[str, Callable[[], None]] = {
        "orjson.loads": lambda: bare(lines),
        "reader": lambda: read(path),
        "reader + Parquet": lambda: parse(path),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, task in work.items():
            start = time.process_time()
            task()
            taken[name].append(time.process_time() - start)
    megabytes = path.stat().st_size / 1e6
    print(f"\n{title}: {megabytes:.0f} MB, {len(lines):,} lines, {rounds} rounds, seconds of one core")
    print(f"{'':18}{'best':>8}{'median':>8}{'MB/s':>8}{'ns/line':>9}{'ratio':>7}{'of medians':>12}")
    for name, seconds in taken.items():
        best, middle = min(seconds), median(seconds)
        ratio, of_medians = best / min(taken["orjson.loads"]), middle / median(taken["orjson.loads"])
        print(
            f"{name:18}{best:8.2f}{middle:8.2f}{megabytes / best:8.0f}{best / len(lines) * 1e9:9.0f}"
            f"{ratio:7.2f}{of_medians:12.2f}"
        )


def peak(path: Path) -> None:
    """Parse a file, and print the peak memory of this process."""
    parse(path)
    # getrusage would count what the process that started this one held at that moment.
    held = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    print(f"peak memory of parsing {path.stat().st_size / 1e6:,.0f} MB: {int(held[1]) / 1024 if held else 0:.0f} MiB")


def main() -> None:
    """Write the sample, pin this process to one core, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also the peak memory of parsing 2 GB")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path, more = Path(folder) / "sample.json", Path(folder) / "octal.json"
        make(path, options.megabytes)
        with_more_octal(path, more)
        compare(path, "The sample", options.rounds)
        compare(more, "With 1 % more lines of octal text", options.rounds)
        print()
        for megabytes in (options.megabytes, 2000) if options.large else (options.megabytes,):
            make(path, megabytes)
            child = multiprocessing.get_context("spawn").Process(target=peak, args=(path,))
            child.start()
            child.join()


if __name__ == "__main__":
    main()

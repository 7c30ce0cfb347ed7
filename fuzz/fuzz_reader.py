"""Feed any bytes to the reader: each line must have an outcome, and both parsers must agree.

    dev/fuzz 120
    .venv/bin/python -m fuzz.fuzz_reader var/fuzz/crash-…    one input again

An input is a revision file as it is, so `kmdb inspect` reads it too. Arguments are libFuzzer's. What guides it is the
careful path, which reads every line here too: atheris does not see into the compiled one.
"""

import base64
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kmdb_dagster"]):
    from kmdb_dagster.km_export.blocks import MAX_OVERLONG_BYTES
    from kmdb_dagster.km_export.fields import read_careful
    from kmdb_dagster.km_export.reader import MAX_LINE_BYTES, read_lines
    from kmdb_dagster.km_export.record_json import as_json
    from kmdb_dagster.km_export.records import Alias, Event, PropertySet, Reason, Record, Rejected

ROOT = Path(__file__).parent.parent
CASES = ROOT / "kmdb_dagster_tests" / "corpus" / "cases.jsonl"
FOUND = ROOT / "var" / "fuzz"
"""Where inputs that failed are kept, and below it those that the next run begins with."""

LONGEST = 8192
"""An input has no more bytes: many short files find more in the same time than a few long ones."""

LIMITS = (MAX_LINE_BYTES, MAX_LINE_BYTES, 100)
"""The longest line that is read: the real limit, which no input reaches, or one that inputs do."""

TOKENS = [
    *('{"', '":"', '","', '"}', '"_p":"', '"_p2":"', '"_t":1397577453', '"_t":"1"', '"_n":"', '"_c":"', "\\u005f"),
    *("\\303\\251", "\\000", "\\377", "\\400", "\\u0000", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\\\", '\\"', "\\q"),
    *("true", "false", "null", "NaN", "1e999", "-0", "1.10", "253402300800", "[[", "{}", "[]", "\n", "\r\n", "\ufeff"),
    *('{"_n":"ev","_p":"bob","_t":1}\n', '{"_p2":"ann","_p":"bob","_t":1}\n', '{"plan":"pro","_p":"bob","_t":1}\n'),
]


def check(data: bytes) -> None:
    """Read bytes as a revision file in random chunks, which depend on the bytes alone."""
    chance = random.Random(data)
    limit = chance.choice(LIMITS)
    records = list(read_lines(_cut(data, chance), max_line_bytes=limit))
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    by_line = [(number, list(group)) for number, group in groupby(records, attrgetter("line"))]
    assert [number for number, _ in by_line] == list(range(1, len(lines) + 1)), "lines are not numbered from 1 to n"
    for line, (number, outcome) in zip(lines, by_line, strict=True):
        _check_line(number, line, outcome, limit)


def _check_line(number: int, line: bytes, outcome: list[Record], limit: int) -> None:
    if len(line) > limit:
        assert outcome == [Rejected(number, Reason.LINE_TOO_LONG, line[:MAX_OVERLONG_BYTES])], "an overlong line"
        return
    expected = read_careful(number, line)
    assert _shown(outcome) == _shown(expected), "the two paths do not agree"
    kinds = [type(record) for record in outcome]
    assert len(kinds) == 1 or kinds in ([Alias, Event], [Alias, PropertySet]), "these cannot stand on one line"
    for record in outcome:
        json.dumps(as_json(record), ensure_ascii=False).encode()
        assert not isinstance(record, Rejected) or record.raw == line, "a refused line is kept as it was"


def _shown(records: list[Record]) -> list[str]:
    """Records for comparison: types, and the order of properties, count too."""
    return [repr(record) for record in records]


def _cut(data: bytes, chance: random.Random) -> Iterator[bytes]:
    longest = chance.choice((1, 7, 100, len(data) + 1))
    at = 0
    while at < len(data):
        size = chance.randint(1, longest)
        yield data[at : at + size]
        at += size


def target(data: bytes) -> None:
    """Check one input of libFuzzer."""
    try:
        check(data)
    except Exception:
        name = f"crash-{hashlib.sha1(data).hexdigest()}"  # noqa: S324 - libFuzzer's name for it, no secret
        print(f"\nRun it again: {sys.executable} -m fuzz.fuzz_reader {FOUND / name}", file=sys.stderr)
        raise


def write_seeds(folder: Path) -> None:
    """The corpus of hard cases as inputs: each alone, and some together, since lines are read in blocks."""
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    seeds = [base64.b64decode(case["raw_b64"]) for case in cases if "raw_b64" in case]
    short = [seed.strip(b"\n") for seed in seeds if len(seed) < 1000]
    some = [b"\n".join(short[at::20]) for at in range(20)]
    for number, seed in enumerate([*seeds, *some]):
        (folder / f"seed-{number}").write_bytes(seed)


def write_dictionary(path: Path) -> None:
    """What lines are made of, as libFuzzer wants it."""
    quoted = ("".join(f"\\x{byte:02x}" for byte in token.encode()) for token in TOKENS)
    path.write_text("".join(f'"{token}"\n' for token in quoted))


def main() -> None:
    """Fuzz, or run the inputs that are named."""
    corpus, dictionary = FOUND / "corpus", FOUND / "dictionary"
    corpus.mkdir(parents=True, exist_ok=True)
    write_seeds(corpus)
    write_dictionary(dictionary)
    options = [f"-artifact_prefix={FOUND}/", f"-dict={dictionary}", f"-max_len={LONGEST}", "-timeout=20"]
    named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    more = [] if named else ["-print_final_stats=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:], *more], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

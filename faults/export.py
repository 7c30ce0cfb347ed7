"""What is imported: a small export in two versions, hard on what must converge.

The same people are in all revisions, linked by aliases across them. The second version has other aliases, so people
are merged and split again. Facts lie in many time partitions.
"""

import random
from collections.abc import Iterator

from testing.buckets import alias, event, property_set

REVISIONS = range(1, 4)
LINES = 60
WEEK = 7 * 24 * 3600
START = 1_388_620_800
"""2014-01-02 00:00 UTC."""
WEEKS = 60

Export = dict[int, bytes]
"""The content of each revision."""

NAMES = [*(f"visitor{number}" for number in range(25)), *map(str, range(100, 108))]
NAMES += ["Bob", "bob", "bob ", "böb", "\U0001f600"]
GUESTS = 12
"""Identities that only one revision has, so that each revision interns names."""
VALUES = ("pro", "free", "a\tb\\c\nd", "'\"\\N", "", "\U0001f600" * 40, "x" * 300)


def version(number: int) -> Export:
    """Return the export at first (1), or after KissMetrics has rewritten every file (2)."""
    return {revision: b"".join(_lines(random.Random(f"{number}/{revision}"), revision)) for revision in REVISIONS}


def many(revisions: int) -> Export:
    """Return an export with this number of revisions."""
    return {
        revision: b"".join(_lines(random.Random(f"many/{revision}"), revision)) for revision in range(1, revisions + 1)
    }


def _lines(chance: random.Random, revision: int) -> Iterator[bytes]:
    names = [*NAMES, *(f"guest {number} of {revision}" for number in range(GUESTS))]
    for _ in range(LINES):
        t = START + chance.randrange(WEEKS * WEEK)
        name, other = chance.sample(names, 2)
        values = {key: chance.choice(VALUES) for key in chance.sample(["plan", "source", "page title", "key"], 2)}
        match chance.randrange(12):
            case 0:
                yield alias(name, other, t)
            case 1 | 2:
                yield property_set(name, t, **values)
            case 3:
                yield chance.choice([b"\n", b"nonsense\n", b'{"_n":"lost","_t":1397577453}\n'])
            case _:
                yield event(chance.choice(["came", "signed up", "went"]), name, t, **values)

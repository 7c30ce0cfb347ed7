"""Data sets of random people whose events, values and identities meet in all ways, and what they are, by hand.

`World` is read from the lines themselves, not from the database: identities are joined by a loop over the alias lines.
"""

import json
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kmdb_dagster_tests.questions.by_hand import Fact

START = 1388534400
"""2014-01-01 00:00 UTC, where the span of the questions begins."""
DAY = 86_400
EVENTS = ("came", "looked", "paid", "left")
VALUES: dict[str, tuple[str, ...]] = {
    "plan": ("free", "crew", "Crew", "fleet", "", "free crew"),
    "amount": ("5", "10", "10.5", "-3", "1e2", "none", "0", ""),
}
PEOPLE, LINES = 40, 900


class Value(NamedTuple):
    """A value that a person got, with the line or the event that gave it."""

    person: str
    t: int
    place: int
    key: str
    value: str
    event: str | None
    """The event's name; None: set on the person."""


class World(NamedTuple):
    """What the lines say."""

    lines: list[bytes]
    events: list[tuple[str, Fact]]
    """The person's name and the event; its name is a place in `EVENTS`, its id is the number of the line."""
    values: list[Value]
    identities: dict[str, str]
    """Each identity, and its person."""

    def numbers(self, key: str) -> dict[int, float]:
        """Return the numbers of a property of events, by the number of the line."""
        return {
            v.place: number(v.value)
            for v in self.values
            if v.key == key and v.event and number(v.value) == number(v.value)
        }

    def values_of(self, key: str, until: int) -> Iterator[Value]:
        """Yield the values of a property before a moment, in order."""
        yield from sorted((v for v in self.values if v.key == key and v.t < until), key=lambda v: (v.t, v.place))


def number(value: str) -> float:
    """Return the number that a value is; what is not one is not more, less or the same."""
    return float(value) if re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", value) else float("nan")


def world(seed: int) -> World:
    """Make a data set: two days before the span, three days in it, and a person's identities joined by aliases."""
    dice = random.Random(seed)
    names = [f"{person} {part}" for person in range(PEOPLE) for part in range(dice.randint(1, 3))]
    lines = [_line(dice, names) for _ in range(LINES)]
    aliases = [(name, f"{name.split()[0]} 0") for name in names if not name.endswith(" 0")]
    written = lines + [{"_p": one, "_p2": other, "_t": START} for one, other in aliases]
    person = {name: name.split()[0] for name in names}
    events = [
        (person[line["_p"]], Fact(0, line["_t"], at, EVENTS.index(line["_n"])))
        for at, line in enumerate(lines)
        if "_n" in line
    ]
    values = [
        Value(person[line["_p"]], line["_t"], at, key, line[key], line.get("_n"))
        for at, line in enumerate(lines)
        for key in VALUES
        if key in line
    ]
    return World([json.dumps(line).encode() + b"\n" for line in written], events, values, person)


def _line(dice: random.Random, names: list[str]) -> dict[str, Any]:
    line: dict[str, Any] = {"_p": dice.choice(names), "_t": START - 2 * DAY + 600 * dice.randrange(5 * DAY // 600)}
    if dice.random() < 0.8:
        line["_n"] = dice.choice(EVENTS)
    for key, values in VALUES.items():
        if dice.random() < 0.4 or ("_n" not in line and key == "plan"):
            line[key] = dice.choice(values)
    return line

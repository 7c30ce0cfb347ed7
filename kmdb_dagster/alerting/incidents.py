"""What is wrong now, and what of it is news: told once when it begins, once when it is over. Pure.

Many failures of one cause are one trouble: fifty runs that find the same table missing are one message. What adds
to a trouble that was told is summed up and told an hour later.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

QUIET_SECONDS = 3600
"""Between two messages on one trouble."""

MOST_OPEN = 50
MOST_WORDS = 600
MOST_RANGES = 100
MOST_NAMED = 10
"""What is wrong now is kept in a sensor's cursor, which has 64 KB in Dagster's history on MySQL."""

Ranges: TypeAlias = list[list[int]]
"""Revisions: the first and the last of each range, ascending."""

State: TypeAlias = dict[str, dict[str, Any]]
"""What is wrong now, by key: as JSON, each value has the fields of `Trouble`."""


class Trouble(NamedTuple):
    """Something that is wrong."""

    what: str
    """What it is about, in few words,"""
    is_wrong: str
    """and how they go on: together they are the subject of a mail."""
    words: str
    """Why, and what to do. Of the latest failure, if there were several."""
    link: str
    since: float
    revisions: Ranges
    """Of an import: those that must come in for it to be over."""
    warning: bool = False
    failures: int = 1
    told: float = 0
    """When it was last told; 0: it was not."""
    told_failures: int = 0
    over: bool = False


class Message(NamedTuple):
    """To be delivered."""

    title: str
    body: str
    kind: str
    """``failure``, ``warning`` or ``success``, as Apprise has it."""


def key_of(what: str, words: str) -> str:
    """The key of a failure: the same for the same cause, whatever the numbers in it."""
    # A line is a revision and its reason, which may end in details that differ from file to file.
    lines = (re.sub(r"\d+", "#", line.removeprefix("revision "))[:60] for line in words.splitlines())
    causes = sorted({line for line in lines if line and not line.startswith("…")})
    return f"{what}:{sha256(chr(10).join(causes).encode()).hexdigest()[:16]}"


def add(state: State, key: str, trouble: Trouble) -> None:
    """Note a failure: a trouble of its own, or one more of a trouble that is there."""
    known = read(state).get(key)
    if known is None:
        if len(state) < MOST_OPEN:
            state[key] = trouble._replace(words=trouble.words[:MOST_WORDS])._asdict()
        return
    state[key] = known._replace(
        words=trouble.words[:MOST_WORDS],
        link=trouble.link,
        failures=known.failures + 1,
        over=False,
        revisions=_union([*known.revisions, *trouble.revisions])[:MOST_RANGES],
    )._asdict()


def keep(state: State, key: str, trouble: Trouble) -> None:
    """Note something that is wrong for as long as it is, and told once."""
    if key not in state:
        add(state, key, trouble)


def mend(state: State, revisions: Ranges) -> None:
    """Note revisions that came in: an import's trouble is over when all of its have."""
    for key, trouble in read(state).items():
        if trouble.revisions:
            left = without(trouble.revisions, revisions)
            state[key] = trouble._replace(revisions=left, over=not left)._asdict()


def end(state: State, prefix: str) -> None:
    """Note that what has such a key is over."""
    for key, trouble in read(state).items():
        if key.startswith(prefix):
            state[key] = trouble._replace(over=True)._asdict()


def news(state: State, now: float) -> Message | None:
    """All that is to be told now, as one message; it then counts as told. What is over is forgotten."""
    fresh = []
    over = []
    for key, trouble in read(state).items():
        if trouble.over:
            over += [trouble] if trouble.told else []
            del state[key]
        elif trouble.failures > trouble.told_failures and not 0 <= now - trouble.told < QUIET_SECONDS:
            fresh.append(trouble)
            state[key] = trouble._replace(told=now, told_failures=trouble.failures)._asdict()
    return _message(fresh, over) if fresh or over else None


def read(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Trouble]:
    """The troubles of a state."""
    return {key: Trouble(**fields) for key, fields in state.items()}


def in_words(state: State) -> str:
    """What is wrong now, for people."""
    named = [trouble.what for trouble in read(state).values()]
    return ", ".join(named[:MOST_NAMED]) + (", …" if len(named) > MOST_NAMED else "")


def _message(fresh: Sequence[Trouble], over: Sequence[Trouble]) -> Message:
    sections = [*map(_section, fresh), *(f"{trouble.what} recovered" for trouble in over)]
    title = sections[0].splitlines()[0] + (f" (and {len(sections) - 1} more)" if len(sections) > 1 else "")
    kind = "success" if not fresh else "warning" if all(trouble.warning for trouble in fresh) else "failure"
    return Message(f"kmdb: {title}", "\n\n".join(sections), kind)


def _section(trouble: Trouble) -> str:
    lines = [f"{trouble.what} {trouble.is_wrong}", trouble.words]
    if trouble.failures > 1:
        lines.append(f"{trouble.failures} failures of this kind in a row.")
        ranges = ", ".join(f"{first}..{last}" for first, last in trouble.revisions[:MOST_NAMED])
        lines += [f"Revisions: {ranges}"] if ranges else []
    return "\n".join(filter(None, [*lines, trouble.link]))


def _union(ranges: Iterable[list[int]]) -> Ranges:
    joined: Ranges = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def without(ranges: Ranges, gone: Ranges) -> Ranges:
    """What is left of ranges."""
    left = ranges
    for first, last in gone:
        pieces = ([[low, min(high, first - 1)], [max(low, last + 1), high]] for low, high in left)
        left = [piece for pair in pieces for piece in pair if piece[0] <= piece[1]]
    return left

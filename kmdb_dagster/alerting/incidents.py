"""Open incidents, and the messages that report them: one when an incident begins, one when it is resolved. Pure.

Failures with the same cause are one incident: fifty runs that miss the same table are one message. Further failures
of a reported incident are summed up in one message an hour later.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from kmdb_dagster.wording import range_text, shorten

QUIET_SECONDS = 3600
"""Between two messages on one incident."""

# Open incidents are kept in a sensor's cursor, which has 64 KB in Dagster's history on MySQL.
MAX_OPEN = 50
MAX_TEXT_LENGTH = 600
MAX_CAUSE_LENGTH = 120
MAX_RANGES = 100
MAX_NAMED = 10

SUMMARY = "Failed revisions: "
"""A line that begins so counts failures. It is no cause."""

Ranges: TypeAlias = list[list[int]]
"""Revisions: the first and the last of each range, ascending."""

State: TypeAlias = dict[str, dict[str, Any]]
"""The open incidents by key, as JSON: each value has the fields of `Incident`."""


class Incident(NamedTuple):
    """A failure, until it is resolved."""

    subject: str
    """What failed, such as ``job realias``."""
    predicate: str
    """What happened to it, such as ``failed``. Subject and predicate are the title of a message."""
    text: str
    """The cause and what to do, of the latest failure."""
    link: str
    since: float
    """In seconds since 1970."""
    revisions: Ranges
    """Of an import: the revisions that must be imported to resolve it."""
    warning: bool = False
    failures: int = 1
    reported_at: float = 0
    """The time of the last message on it, in seconds since 1970; 0 for none."""
    reported_failures: int = 0
    resolved: bool = False


class Message(NamedTuple):
    """A message to deliver."""

    title: str
    body: str
    kind: str
    """Apprise's type: ``failure``, ``warning`` or ``success``."""


def incident_key(kind: str, text: str) -> str:
    """Return the key of a failure: the same for the same cause, whatever numbers its text has."""
    # A line names what to do and the reason. The end of a reason may differ from file to file.
    lines = (re.sub(r"\d+", "#", line)[:MAX_CAUSE_LENGTH] for line in text.splitlines())
    causes = sorted({line for line in lines if line and not line.startswith(("…", SUMMARY))})
    return f"{kind}:{sha256(chr(10).join(causes).encode()).hexdigest()[:16]}"


def add_failure(state: State, key: str, incident: Incident) -> None:
    """Open an incident, or count one more failure of an open one.

    Args:
        state: the open incidents by key, as they are kept in the cursor; changed in place.
        key: what identifies the cause, so that more failures count as the same incident.
        incident: the failure. Its text replaces that of an open incident.
    """
    known = read(state).get(key)
    if known is None:
        if len(state) < MAX_OPEN:
            state[key] = incident._replace(text=shorten(incident.text, MAX_TEXT_LENGTH))._asdict()
        return
    state[key] = known._replace(
        text=shorten(incident.text, MAX_TEXT_LENGTH),
        link=incident.link,
        failures=known.failures + 1,
        resolved=False,
        revisions=_union([*known.revisions, *incident.revisions])[:MAX_RANGES],
    )._asdict()


def open_once(state: State, key: str, incident: Incident) -> None:
    """Open an incident of a lasting condition, unless it is open.

    Args:
        state: the open incidents by key; changed in place.
        key: what identifies the condition.
        incident: what is reported if it is not open.
    """
    if key not in state:
        add_failure(state, key, incident)


def resolve_imports(state: State, revisions: Ranges) -> None:
    """Resolve the incidents of imports whose revisions are now all imported."""
    for key, incident in read(state).items():
        if incident.revisions:
            left = without(incident.revisions, revisions)
            state[key] = incident._replace(revisions=left, resolved=not left)._asdict()


def resolve(state: State, prefix: str) -> None:
    """Resolve the incidents whose key begins with ``prefix``."""
    for key, incident in read(state).items():
        if key.startswith(prefix):
            state[key] = incident._replace(resolved=True)._asdict()


def take_message(state: State, now: float) -> Message | None:
    """Return what is to be reported now, as one message, and mark it as reported. Resolved incidents are removed.

    Args:
        state: the open incidents; changed in place.
        now: in seconds since 1970.

    Returns:
        None if there is nothing to report.
    """
    fresh = []
    resolved = []
    for key, incident in read(state).items():
        if incident.resolved:
            resolved += [incident] if incident.reported_at else []
            del state[key]
        elif incident.failures > incident.reported_failures and not 0 <= now - incident.reported_at < QUIET_SECONDS:
            fresh.append(incident)
            state[key] = incident._replace(reported_at=now, reported_failures=incident.failures)._asdict()
    return _message(fresh, resolved) if fresh or resolved else None


def read(state: Mapping[str, Mapping[str, Any]]) -> dict[str, Incident]:
    """Read the incidents of a state."""
    return {key: Incident(**fields) for key, fields in state.items()}


def describe(state: State) -> str:
    """Name the subjects of the open incidents."""
    named = [incident.subject for incident in read(state).values()]
    return ", ".join(named[:MAX_NAMED]) + (", …" if len(named) > MAX_NAMED else "")


def _message(fresh: Sequence[Incident], resolved: Sequence[Incident]) -> Message:
    sections = [*map(_section, fresh), *(f"{incident.subject} recovered" for incident in resolved)]
    title = sections[0].splitlines()[0] + (f" (and {len(sections) - 1} more)" if len(sections) > 1 else "")
    kind = "success" if not fresh else "warning" if all(incident.warning for incident in fresh) else "failure"
    return Message(f"kmdb: {title}", "\n\n".join(sections), kind)


def _section(incident: Incident) -> str:
    lines = [f"{incident.subject} {incident.predicate}", incident.text]
    if incident.failures > 1:
        lines.append(f"{incident.failures} failures of this kind in a row.")
        ranges = ", ".join(range_text(first, last) for first, last in incident.revisions[:MAX_NAMED])
        lines += [f"Revisions: {ranges}"] if ranges else []
    return "\n".join(filter(None, [*lines, incident.link]))


def _union(ranges: Iterable[list[int]]) -> Ranges:
    joined: Ranges = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def without(ranges: Ranges, gone: Ranges) -> Ranges:
    """Return the parts of ``ranges`` that are not in ``gone``."""
    left = ranges
    for first, last in gone:
        pieces = ([[low, min(high, first - 1)], [max(low, last + 1), high]] for low, high in left)
        left = [piece for pair in pieces for piece in pair if piece[0] <= piece[1]]
    return left

"""The manifest: the files of the copy, and the state of the warehouse that they show. Replaced atomically."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from kmdb_dagster.lake.files import atomic_write, translate_os_errors

MANIFEST = "manifest.json"
SCHEMA_VERSION = 3
"""Of the files and of the manifest. A copy of another version is made again."""
SETTING = "KMDB_COLUMNAR_URL"

READABLE = 0o644
"""Who may enter the folder may read the facts. The names of people are apart, and for this user only."""


class Bounds(NamedTuple):
    """A time partition: from a day, up to another day, exclusive. None: unbounded."""

    start: date | None
    before: date | None

    def __contains__(self, day: object) -> bool:
        """Return whether a day is in it."""
        return (
            isinstance(day, date)
            and (self.start is None or self.start <= day)
            and (self.before is None or day < self.before)
        )


UNBOUNDED = Bounds(None, None)


class IdRange(NamedTuple):
    """A range of ids of names: from an id, up to another, exclusive."""

    start: int
    before: int

    def __contains__(self, number: object) -> bool:
        """Return whether an id is in it."""
        return isinstance(number, int) and self.start <= number < self.before


Span = Bounds | IdRange


class CopiedFile(NamedTuple):
    """A time partition of a table, or a range of names. ``path`` is relative to the folder, and None without rows."""

    table: str
    bounds: Span
    path: str | None
    rows: int
    bytes: int


class WarehouseState(NamedTuple):
    """The warehouse as a snapshot saw it. The counts are those of the ledger."""

    generation: str
    map_version: int
    facts_from: datetime | None
    """Facts before it were dropped. None: all are kept."""
    revisions: int
    newest_revision: int | None
    newest_fact: datetime | None
    events: int
    properties: int
    last_key: int
    """The highest `keys.id`."""
    last_identity: int
    """The highest `users.id`."""

    def last_id(self, table: str) -> int:
        """Return the highest id of a table of names."""
        return self.last_key if table == "keys" else self.last_identity


@dataclass(frozen=True)
class Manifest:
    """A complete copy of the facts. Ids are hexadecimal."""

    id: str
    previous: str | None
    """The manifest that this one replaced."""
    made_at: datetime
    state: WarehouseState
    files: tuple[CopiedFile, ...]
    rewritten: tuple[tuple[str, Span], ...] = ()
    """What this manifest has new: the table and bounds."""
    retired: dict[str, datetime] = field(default_factory=dict)
    """Files of earlier manifests, which readers may still use, and since when this one does not."""

    def paths(self, table: str) -> list[str]:
        """Return the paths of a table, in the order of time."""
        return [file.path for file in self.files if file.table == table and file.path]

    def rows(self, table: str) -> int:
        """Return how many rows a table has."""
        return sum(file.rows for file in self.files if file.table == table)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Publish a manifest: readers see the previous one, or this one."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "id": manifest.id,
        "previous": manifest.previous,
        "made_at": manifest.made_at,
        "state": manifest.state._asdict(),
        "files": [file._asdict() for file in manifest.files],
        "rewritten": manifest.rewritten,
        "retired": manifest.retired,
    }
    with translate_os_errors(folder, SETTING), atomic_write(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(fields, default=_as_text, indent=1) + "\n")
        temporary.chmod(READABLE)


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest. None: there is none, it is damaged, or it is of another version of this program."""
    path = folder / MANIFEST
    with translate_os_errors(path, SETTING):
        if not path.exists():
            return None
        content = path.read_bytes()
    try:
        fields = json.loads(content)
        return _manifest(fields) if fields["schema_version"] == SCHEMA_VERSION else None
    except (ValueError, TypeError, KeyError):
        return None


def new_time() -> datetime:
    """Return the current time in UTC, without a fraction of a second."""
    return datetime.now(UTC).replace(microsecond=0)


def _manifest(fields: dict[str, Any]) -> Manifest:
    state = fields["state"]
    times = {name: state[name] and datetime.fromisoformat(state[name]) for name in ("facts_from", "newest_fact")}
    return Manifest(
        fields["id"],
        fields["previous"],
        datetime.fromisoformat(fields["made_at"]),
        WarehouseState(**{**state, **times}),
        tuple(_files(fields["files"])),
        tuple((table, _bounds(bounds)) for table, bounds in fields["rewritten"]),
        {path: datetime.fromisoformat(at) for path, at in fields["retired"].items()},
    )


def _files(items: list[dict[str, Any]]) -> Iterator[CopiedFile]:
    for item in items:
        yield CopiedFile(**{**item, "bounds": _bounds(item["bounds"])})


def _bounds(days: list[Any]) -> Span:
    if isinstance(days[0], int):
        return IdRange(*days)
    return Bounds(*(date.fromisoformat(day) if day else None for day in days))


def _as_text(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)

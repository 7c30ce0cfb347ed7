"""The cursors of the sensors. A user can edit a cursor in Dagster's UI, so it is validated like any input."""

from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kmdb_dagster.alerting.incidents import Incident

EDITED = "The cursor is not what the sensor wrote, and is treated as none."
"""What a tick adds to its message."""

Seconds: TypeAlias = Annotated[float, Field(ge=0)]
"""A time as seconds since 1970; 0 for never."""


class Cursor(BaseModel):
    """A cursor, stored as JSON. Without any of its fields it is the cursor of a sensor that never ticked."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class ImportCursor(Cursor):
    """The cursor of `new_revisions`: the progress of the import."""

    listed_at: Seconds = 0
    """The time of the last full listing."""
    done: int | None = None
    """How many revisions are imported."""
    left: int | None = None
    """How many are still to be imported."""
    moved_at: Seconds = 0
    """The last time that ``done`` or ``left`` changed, or nothing was left."""
    unread: str = ""
    """Describes the objects that may hold data and are not read; empty if there are none."""


class AlertCursor(Cursor):
    """The cursor of `alerts`: the open incidents, and the runs that were read."""

    seen_until: Seconds = 0
    seen: list[str] = []
    wrong: dict[str, Incident] = {}
    """The open incidents, by key."""
    awake_since: Seconds = 0
    ticked_at: Seconds = 0

    @field_validator("wrong")
    @classmethod
    def _are_ranges(cls, wrong: dict[str, Incident]) -> dict[str, Incident]:
        if any(len(pair) != 2 for incident in wrong.values() for pair in incident.revisions):
            raise ValueError("a range has two ends")
        return wrong


class LedgerCursor(Cursor):
    """The cursor of `unrecorded_revisions`: the ledger when the history had all of it, except active runs."""

    compared_at: Seconds = 0
    """The time of the last full comparison."""
    imported: int = 0
    """How many revisions were imported."""
    latest: datetime | None = None
    """When the latest of them was imported."""
    under_way: list[tuple[int, int]] = []
    """The first and last revision of each range of active runs."""


C = TypeVar("C", bound=Cursor)


def read_cursor(kind: type[C], text: str | None) -> tuple[C, bool]:
    """Read a cursor.

    Returns:
        The cursor, and whether it was edited to something invalid and is replaced by an empty one.
    """
    if not text:
        return kind(), False
    try:
        found = kind.model_validate_json(text)
    except ValidationError:
        return kind(), True
    return found, not found.model_fields_set


def past(at: float, now: float) -> float:
    """Return a recorded time, in seconds since 1970; 0 (never) if it is in the future, from a clock that was ahead."""
    return at if at <= now else 0

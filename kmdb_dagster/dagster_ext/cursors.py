"""What the sensors keep in their cursors. A cursor can be edited in Dagster's UI, so it is validated like any input."""

from datetime import datetime
from typing import Annotated, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kmdb_dagster.alerting.incidents import Trouble

EDITED = "The cursor is not what the sensor wrote, and is treated as none."
"""For the tick."""


Seconds: TypeAlias = Annotated[float, Field(ge=0)]
"""A time as seconds since 1970; 0 for never."""


class Cursor(BaseModel):
    """A cursor as JSON. Without any of its fields it is that of a sensor that never ticked."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class ImportCursor(Cursor):
    """How far the import is."""

    listed_at: Seconds = 0
    """When the whole bucket was listed last."""
    done: int | None = None
    left: int | None = None
    moved_at: Seconds = 0
    """When ``done`` or ``left`` changed last, or nothing was left."""
    unread: str = ""
    """Objects that were seen and are not read, in words; empty if there are none."""


class AlertCursor(Cursor):
    """What was told."""

    seen_until: Seconds = 0
    seen: list[str] = []
    wrong: dict[str, Trouble] = {}
    awake_since: Seconds = 0
    ticked_at: Seconds = 0

    @field_validator("wrong")
    @classmethod
    def _are_ranges(cls, wrong: dict[str, Trouble]) -> dict[str, Trouble]:
        if any(len(pair) != 2 for trouble in wrong.values() for pair in trouble.revisions):
            raise ValueError("a range has two ends")
        return wrong


class LedgerCursor(Cursor):
    """The ledger at the last look, when Dagster's history had all of it but what was under way."""

    compared_at: Seconds = 0
    """When all of it was compared last."""
    imported: int = 0
    """How many revisions were in."""
    latest: datetime | None = None
    """When the latest of them came in."""
    under_way: list[tuple[int, int]] = []
    """The first and last revision of each range of them."""


C = TypeVar("C", bound=Cursor)


def read_cursor(kind: type[C], text: str | None) -> tuple[C, bool]:
    """Read a cursor. Returns it, and whether it was edited to something else and is replaced by an empty one."""
    if not text:
        return kind(), False
    try:
        found = kind.model_validate_json(text)
    except ValidationError:
        return kind(), True
    return found, not found.model_fields_set


def past(at: float, now: float) -> float:
    """A time that was written down. One in the future, by a clock that was ahead, counts as never (0)."""
    return at if at <= now else 0

"""Find and describe objects of a bucket that may hold data and are not read. Pure functions of names."""

import re
from collections.abc import Sequence

from kmdb_dagster.km_export.layout import FOLDER, Listing
from kmdb_dagster.wording import counted

MAX_NAMED = 3
MAX_NAME_CHARACTERS = 80

_DATA = re.compile(r"\.json(\.\w+)?~?$", re.IGNORECASE)
_MOVED = re.compile(r"(?P<prefix>(?:[^/]+/)*?)(?:revisions/)?[1-9][0-9]{0,6}\.json(?:\.gz)?")
_BEFORE_OCTOBER_2012 = re.compile(r"(?:.*/)?\d{4}/\w{3}/\d{4}-\d{2}-\d{2}\.json(?:\.gz)?")


def unread(listing: Listing) -> list[str]:
    """Return names that may hold export data but are not revisions: JSON anywhere, any file in ``revisions/``."""
    names = [*listing.other, *listing.strange]
    return [name for name in names if (_DATA.search(name) or name.startswith(FOLDER)) and not _is_marker(name)]


def describe_unread(listing: Listing) -> str:
    """Describe the objects that are not read, and what to do. Empty if there are none."""
    names = unread(listing)
    if not names:
        return ""
    named = ", ".join(name[:MAX_NAME_CHARACTERS] for name in names[:MAX_NAMED])
    more = ", …" if len(names) > MAX_NAMED else ""
    return f"{_advice(names, listing)} Seen and not read: {counted(len(names), 'object')} ({named}{more})."


def _advice(names: Sequence[str], listing: Listing) -> str:
    if any(_BEFORE_OCTOBER_2012.fullmatch(name) for name in names):
        return (
            "KissMetrics's layout before October 2012 (a file per day) is not read: copy each of these files to "
            "`revisions/N.json` with an unused number N."
        )
    moved = next((found for name in names if (found := _MOVED.fullmatch(name))), None)
    if moved and moved["prefix"] and not listing.revisions:
        return f"Set KMDB_PREFIX={moved['prefix']} to read them."
    return "Rename the files to import to `revisions/N.json`, and move the others to another bucket."


def _is_marker(name: str) -> bool:
    """Tell whether a name is a folder or a hidden file, as tools leave them."""
    return name.endswith("/") or name.rsplit("/", 1)[-1].startswith(".")

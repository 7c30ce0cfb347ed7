"""The marker file of a data folder: a small JSON file with the ids of the folder and of its database."""

import json
from pathlib import Path
from typing import NamedTuple

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake.files import atomic_write, translate_os_errors

MARKER_FILE = "kmdb-folder.json"


class Marker(NamedTuple):
    """Random ids, 16 bytes each."""

    folder: bytes
    database: bytes


def read_marker(root: Path) -> Marker | None:
    """Read the marker file of a data folder. None: there is none.

    Raises:
        PermanentError: the file is damaged.
    """
    path = root / MARKER_FILE
    with translate_os_errors(path):
        if not path.exists():
            return None
        content = path.read_bytes()
    try:
        fields = json.loads(content)
        return Marker(bytes.fromhex(fields["folder"]), bytes.fromhex(fields["database"]))
    except (ValueError, TypeError, KeyError):
        raise PermanentError(
            f"{path} is damaged, so the database of this data folder is unknown. Delete the file. Then, if the folder "
            "belongs to the database in DATABASE_URL, run `kmdb confirm data-dir`."
        ) from None


def write_marker(root: Path, marker: Marker) -> None:
    """Write the marker file of a data folder, readable for this user only."""
    with atomic_write(root / MARKER_FILE) as temporary:
        temporary.write_text(json.dumps({"folder": marker.folder.hex(), "database": marker.database.hex()}) + "\n")

"""SQL that makes views of the copy in DuckDB: `duckdb -init facts.sql` works at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from kmdb_dagster.columnar.folder import FACTS_SQL, PEOPLE_SQL
from kmdb_dagster.columnar.manifest import READABLE, SETTING, Manifest
from kmdb_dagster.columnar.snapshot import NUMBER, SOURCES, TEXT, TIME
from kmdb_dagster.lake.files import atomic_write, translate_os_errors

TYPES: Mapping[pa.DataType, str] = {NUMBER: "BIGINT", TEXT: "VARCHAR", TIME: "TIMESTAMP"}

VIEWS = """-- Views of the columnar copy {id}, made {made_at}, as of revision {newest}.
-- Use them with: duckdb -init {path}
CREATE OR REPLACE VIEW event_facts AS {events};
CREATE OR REPLACE VIEW property_facts AS {properties};
CREATE OR REPLACE VIEW keys AS {keys};
CREATE OR REPLACE VIEW user_map AS {user_map};
CREATE OR REPLACE VIEW events AS
    SELECT f.id, f.t, k.string AS name, m.user_id, f.identity_id, f.n
    FROM event_facts f JOIN keys k ON k.id = f.n JOIN user_map m ON m.identity_id = f.identity_id;
CREATE OR REPLACE VIEW properties AS
    SELECT f.id, f.t, k.string AS name, f.value, m.user_id, f.event_id, f.identity_id, f.key
    FROM property_facts f JOIN keys k ON k.id = f.key JOIN user_map m ON m.identity_id = f.identity_id;
"""
PEOPLE = """-- The identities of people. Personal data.
CREATE OR REPLACE VIEW users AS {users};
CREATE OR REPLACE VIEW people AS
    SELECT m.user_id, u.name AS person, m.identity_id FROM user_map m JOIN users u ON u.id = m.user_id;
"""


def write_views(folder: Path, manifest: Manifest) -> None:
    """Write the views of a manifest: `facts.sql`, and apart `people/people.sql`."""
    selects = {table: select_files(folder, table, manifest.paths(table)) for table in SOURCES}
    state = manifest.state
    facts = VIEWS.format(
        id=manifest.id,
        made_at=f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC",
        newest=state.newest_revision,
        path=folder / FACTS_SQL,
        **selects,
    )
    with translate_os_errors(folder, SETTING):
        _write(folder / FACTS_SQL, facts, READABLE)
        _write(folder / PEOPLE_SQL, PEOPLE.format(**selects), 0o600)


def _write(path: Path, content: str, mode: int) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(content)
        temporary.chmod(mode)


def select_files(folder: Path, table: str, paths: Iterable[str]) -> str:
    """Return a query for the rows of these files of a table.

    Args:
        folder: the folder of the copy.
        table: the table. Without files, its columns are selected, and no rows.
        paths: the paths of the files in the folder.
    """
    files = [_quoted(str(folder / path)) for path in paths]
    if files:
        return f"SELECT * FROM read_parquet([{', '.join(files)}])"  # noqa: S608 - paths of ours
    columns = ", ".join(f"NULL::{TYPES[field.type]} AS {field.name}" for field in SOURCES[table].schema)
    return f"SELECT {columns} WHERE FALSE"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Read the copy: the tables of one manifest as views in DuckDB."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kmdb_dagster.columnar.duckdb_views import select_files
from kmdb_dagster.columnar.folder import is_intact
from kmdb_dagster.columnar.manifest import Manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Most identities are their own person: a join with the others alone is a third as long.
MOVED = "CREATE TABLE moved_identities AS SELECT * FROM ({user_map}) WHERE identity_id <> user_id"
FACTS = """
    CREATE VIEW {table} AS SELECT f.*, coalesce(m.user_id, f.identity_id) AS user_id
    FROM ({files}) f LEFT JOIN moved_identities m ON m.identity_id = f.identity_id
"""


class CopyReader(NamedTuple):
    """A copy as one manifest has it. Its files stay for a while after a refresh."""

    folder: Path
    manifest: Manifest

    def attach(self, duck: "DuckDBPyConnection") -> None:
        """Create the views ``events`` and ``properties``, with the columns of the tables in MySQL."""
        duck.execute(MOVED.format(user_map=self._files("user_map")))
        for table in ("events", "properties"):
            duck.execute(FACTS.format(table=table, files=self._files(table)))

    def is_complete(self) -> bool:
        """Return whether all files are still there."""
        return all(is_intact(self.folder, file.path, file.bytes) for file in self.manifest.files if file.path)

    def map_to_people(self, duck: "DuckDBPyConnection", table: str) -> None:
        """Replace identities in a column ``person`` by their people."""
        duck.execute(f"UPDATE {table} SET person = user_id FROM moved_identities WHERE identity_id = person")  # noqa: S608

    def _files(self, table: str) -> str:
        return select_files(self.folder, table, self.manifest.paths(table))

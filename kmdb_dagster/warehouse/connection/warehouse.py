"""The `Warehouse`: an engine and the state that runs share, which rooms above the warehouse hold."""

from sqlalchemy import text
from sqlalchemy.engine import URL

from kmdb_dagster.errors import TransientError
from kmdb_dagster.warehouse.connection.server import LONG_STATEMENT_TIMEOUT_SECONDS, connect, transaction
from kmdb_dagster.warehouse.identity.erasure_list import read_erased_digests
from kmdb_dagster.warehouse.loading.leftovers import Leftovers
from kmdb_dagster.warehouse.maintenance.flush import FLUSHING
from kmdb_dagster.warehouse.schema.state_rows import required
from kmdb_dagster.warehouse.schema.tables import FACTS
from kmdb_dagster.warehouse.schema.version import check_connections


class Warehouse:
    """A database that DATABASE_URL names. Nothing is opened before it is used."""

    def __init__(self, url: URL, timeout_seconds: int = LONG_STATEMENT_TIMEOUT_SECONDS) -> None:
        self.engine = connect(url, timeout_seconds)
        check_connections(self.engine)
        self.leftover_facts = Leftovers(*FACTS)
        self.leftover_aliases = Leftovers("aliases")
        self._erased: frozenset[bytes] | None = None

    @property
    def database(self) -> str:
        """The name of the database alone, which an operator types to confirm a deletion."""
        return str(self.engine.url.database)

    @property
    def name(self) -> str:
        """The database, host and port for messages, without user and password."""
        url = self.engine.url
        return f"{self.database} on {url.host or 'localhost'}:{url.port or 3306}"

    def generation(self) -> str:
        """Read the generation of the ids in the database; each flush changes it.

        Raises:
            TransientError: the warehouse is being flushed.
        """
        with transaction(self.engine) as connection:
            row = connection.execute(text("SELECT generation FROM warehouse_state WHERE id = 1")).scalar()
            found = required("warehouse_state", row)
        if found == FLUSHING:
            raise TransientError(f"{self.name} is being flushed. If no process does that, run `kmdb flush` again.")
        return str(found)

    def erased_digests(self) -> frozenset[bytes]:
        """Return the digests of erased identities, which imports redact."""
        with transaction(self.engine) as connection:
            self._erased = read_erased_digests(connection)
        return self._erased

    def last_erased_digests(self) -> frozenset[bytes]:
        """Return what `erased_digests` returned last. Read them again when the work is done, and compare."""
        return self.erased_digests() if self._erased is None else self._erased

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

"""The schema and its migrations on a server."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.server import connect, named_lock, server_of
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.schema import migrations, version
from kmdb_dagster.warehouse.schema.migrations import migrate
from kmdb_dagster.warehouse.schema.tables import Base
from kmdb_dagster.warehouse.schema.version import Versions, versions
from testing.revisions import change, one, rows

HEAD = "0005"
COLUMNS = """
    SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE = 'YES' FROM INFORMATION_SCHEMA.COLUMNS
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'alembic_version'
"""


class ServerReporting:
    """A connection to a server that reports this version."""

    def __init__(self, version: str) -> None:
        self._version = version

    def exec_driver_sql(self, _statement: str) -> "ServerReporting":
        """Ask for the version."""
        return self

    def scalar_one(self) -> str:
        """The version."""
        return self._version


def migrate_at(url: str) -> tuple[str | None, str | None]:
    """In a process of its own."""
    return migrate(Warehouse(database_url(url)).engine)


def test_the_tables_match_the_model_classes(engine: Engine) -> None:
    found = {(str(table), str(column), bool(nullable)) for table, column, nullable in rows(engine, COLUMNS)}
    assert found == {
        (table.name, column.name, bool(column.nullable))
        for table in Base.metadata.tables.values()
        for column in table.columns
    }


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_the_primary_keys_match_the_model_classes(engine: Engine, table: str) -> None:
    found = inspect(engine).get_pk_constraint(table)["constrained_columns"]
    assert set(found) == {column.name for column in Base.metadata.tables[table].primary_key}


def test_every_text_column_has_the_exact_collation(engine: Engine) -> None:
    collations = "SELECT DISTINCT COLLATION_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
    with engine.connect() as connection:
        exact = server_of(connection).exact_collation
    text = f"{collations}AND COLLATION_NAME IS NOT NULL AND TABLE_NAME <> 'alembic_version'"
    assert rows(engine, text) == [(exact,)]


def test_migrating_again_changes_nothing(empty_database: str) -> None:
    engine = Warehouse(database_url(empty_database)).engine
    assert migrate(engine) == (None, HEAD)
    generation = one(engine, "SELECT generation FROM warehouse_state")
    assert migrate(engine) == (HEAD, HEAD)
    assert one(engine, "SELECT generation FROM warehouse_state") == generation
    engine.dispose()


def test_an_interrupted_migration_completes_when_run_again(engine: Engine) -> None:
    change(engine, "DROP TABLE properties", "DROP TABLE warehouse_state", "DELETE FROM alembic_version")
    assert migrate(engine) == (None, HEAD)
    assert one(engine, "SELECT COUNT(*) FROM properties") == 0
    assert one(engine, "SELECT LENGTH(generation) FROM warehouse_state") == 32


def test_an_upgrade_from_0001_keeps_the_ledger_and_does_not_invent_filters(engine: Engine) -> None:
    change(
        engine,
        "INSERT INTO revisions (revision, etag, imported_at) VALUES (7, 'x', UTC_TIMESTAMP())",
        "ALTER TABLE revisions DROP COLUMN filters",
        "UPDATE alembic_version SET version_num = '0001'",
    )
    assert migrate(engine) == ("0001", HEAD)
    assert rows(engine, "SELECT revision, etag, filters FROM revisions") == [(7, "x", None)]


def test_a_migration_to_0002_that_broke_off_after_its_statement_is_repeated(engine: Engine) -> None:
    change(engine, "UPDATE alembic_version SET version_num = '0001'")
    assert migrate(engine) == ("0001", HEAD)


def test_a_schema_of_a_newer_program_is_refused_by_every_connection_and_by_migrate(database: str) -> None:
    opened = Warehouse(database_url(database))
    change(opened.engine, "UPDATE alembic_version SET version_num = '9999'")
    opened.close()
    refused = rf"schema version 9999; this kmdb_dagster knows up to {HEAD}\. .*Upgrade this installation"
    for use in (opened.generation, lambda: ledger.statuses(opened.engine), opened.erased_digests):
        with pytest.raises(PermanentError, match=refused):
            use()
    with pytest.raises(PermanentError, match=refused):
        migrate(opened.engine)
    assert one(connect(opened.engine.url), "SELECT version_num FROM alembic_version") == "9999"


def test_a_database_without_a_schema_version_is_refused_until_it_is_migrated(database: str) -> None:
    opened = Warehouse(database_url(database))
    change(opened.engine, "DELETE FROM alembic_version")
    opened.close()
    with pytest.raises(PermanentError, match=f"schema version none; .* needs {HEAD}: run `kmdb migrate`"):
        opened.generation()
    migrate(opened.engine)
    assert opened.generation()
    opened.close()


def test_an_older_schema_is_refused_once_there_is_a_newer_migration(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "versions", lambda: Versions(frozenset({HEAD, "0006"}), "0006"))
    opened = Warehouse(database_url(database))
    with pytest.raises(PermanentError, match=f"schema version {HEAD}; .* needs 0006: run `kmdb migrate`"):
        opened.generation()
    opened.close()


def test_the_schema_check_leaves_no_open_transaction(warehouse: Warehouse) -> None:
    with warehouse.engine.connect() as connection:
        mine = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.INNODB_TRX WHERE trx_mysql_thread_id = CONNECTION_ID()"
        assert connection.exec_driver_sql(mine).scalar() == 0


def test_the_needed_version_is_that_of_the_newest_migration() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", "kmdb_dagster.warehouse.schema:migrations")
    scripts = ScriptDirectory.from_config(configuration)
    assert versions().known == {script.revision for script in scripts.walk_revisions()}
    assert versions().current == scripts.get_current_head() == HEAD


def test_two_concurrent_migrations_both_succeed(empty_database: str) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = sorted(pool.map(migrate_at, [empty_database] * 2), key=str)
    assert found == [(HEAD, HEAD), (None, HEAD)]


def test_a_migration_that_waits_too_long_for_the_lock_fails_as_transient(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0)
    with named_lock(engine, "migrate", 1), pytest.raises(TransientError, match="held the lock 'migrate' for 0 seconds"):
        migrate(engine)
    assert migrate(engine) == (HEAD, HEAD)


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("8.0.17", "MySQL 8.0.17"),
        ("8.4.6-commercial", "MySQL 8.4.6"),
        ("9.7.0", "MySQL 9.7.0"),
        ("10.6.0-MariaDB", "MariaDB 10.6.0"),
        ("11.8.2-MariaDB-ubu2404", "MariaDB 11.8.2"),
    ],
)
def test_a_supported_server_is_accepted(reported: str, name: str) -> None:
    assert str(server_of(ServerReporting(reported))) == name  # type: ignore[arg-type]  # all of a connection that is needed


@pytest.mark.parametrize("reported", ["5.7.44-log", "8.0.16", "10.5.99-MariaDB-1:10.5", "5.5.5-10.4.34-MariaDB"])
def test_a_server_that_is_too_old_is_refused(reported: str) -> None:
    with pytest.raises(PermanentError, match=r"MySQL 8\.0\.17 or MariaDB 10\.6 at the least is needed"):
        server_of(ServerReporting(reported))  # type: ignore[arg-type]  # as above

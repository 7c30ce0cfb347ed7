"""Fixtures of all tests: real servers, started once; an empty database, a folder bucket and an environment per test.

``KMDB_TEST_SERVER=mysql`` starts MySQL instead of MariaDB. With KMDB_TEST_SERVER_URL
(``mysql://root@127.0.0.1:3306``) the tests use that server and start none. Every test that needs a database gets the
mark ``database``.
"""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import hypothesis
import pytest

from dev.servers import MARIADB, MYSQL, REDIS, S3, running
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.settings import Settings, database_url
from kmdb_dagster.warehouse import Warehouse
from testing import databases
from testing.buckets import FolderOfRevisions

warnings.filterwarnings("ignore", category=dg.BetaWarning)

# How long an example takes is for the benchmarks: on a busy machine the first one may wait for an import.
hypothesis.settings.register_profile("untimed", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("untimed")

SERVER_VARIABLE = "KMDB_TEST_SERVER_URL"
KIND_VARIABLE = "KMDB_TEST_SERVER"
SERVERS = {"mariadb": MARIADB, "mysql": MYSQL}
BROWSER = "browser"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", "database: needs a MySQL or MariaDB server")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs a browser runs where it is asked for by name: `dev/test --browser`."""
    asked = any(Path(argument).name == BROWSER for argument in config.args)
    return True if collection_path.name == BROWSER and not asked else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a database."""
    for item in items:
        if "server_url" in getattr(item, "fixturenames", ()):
            item.add_marker("database")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI nothing is skipped: a test that skips itself fails."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # pytest's wrappers send the result in
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and in CI nothing is"
    return report  # type: ignore[return-value]  # as above


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MySQL or MariaDB server, root without a password."""
    given = os.environ.get(SERVER_VARIABLE)
    if given:
        yield given.rstrip("/")
        return
    kind = SERVERS[os.environ.get(KIND_VARIABLE, "mariadb")]
    with running(kind, tmp_path_factory.mktemp("database")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis."""
    with running(REDIS, tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 API that takes any credentials."""
    with running(S3, tmp_path_factory.mktemp("s3")) as server:
        yield server.url


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a database of this test's own, without tables."""
    with databases.empty_database(server_url) as url:
        yield url


@pytest.fixture(scope="session")
def database_pool(server_url: str) -> Iterator[databases.DatabasePool]:
    """Databases with all tables, each lent to one test at a time."""
    pool = databases.DatabasePool(server_url)
    yield pool
    pool.close()


@pytest.fixture
def database(database_pool: databases.DatabasePool) -> Iterator[str]:
    """The URL of a database of this test's own, with all tables and no rows."""
    with database_pool.lend() as url:
        yield url


@pytest.fixture
def warehouse(database: str) -> Iterator[Warehouse]:
    """A warehouse of this test's own."""
    opened = Warehouse(database_url(database))
    yield opened
    opened.close()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting is set, and there is no ``.env``."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bucket(tmp_path: Path) -> FolderOfRevisions:
    """An empty bucket in a folder."""
    return FolderOfRevisions(tmp_path / "bucket")


@pytest.fixture
def kmdb(
    bare_environment: None,  # noqa: ARG001 - it is wanted for what it does
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    database: str,
    bucket: FolderOfRevisions,
) -> Kmdb:
    """Dagster's resource, with the environment set to this test's own database, bucket and lake."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("KMDB_LOCAL_BUCKET", str(bucket.folder))
    monkeypatch.setenv("KMDB_DATA_DIR", str(tmp_path / "lake"))
    return Kmdb()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of this test's own, in memory: on disk, SQLite takes longer than the tests."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made

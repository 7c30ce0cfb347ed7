"""Dagster's history on a server whose time zone changes its clocks."""

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy.engine import make_url

from dev.servers import MARIADB, Server, running
from kmdb_dagster.dagster_ext.history_storage import SESSION_OPTIONS as DEFAULTS
from kmdb_dagster.dagster_ext.history_storage import with_session_options
from kmdb_dagster.dagster_ext.instance import open_instance
from testing.databases import empty_database
from testing.instance_files import CHECKOUT, MYSQL

SHIPPED = ["compose.yaml", "docs/how-to/set-up.md", "deploy/mysql/dagster.yaml", "deploy/celery/dagster.yaml"]
CLOCKS_CHANGE = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
"""By Berlin's clocks there was no such time: they went from 02:00 to 03:00."""


@pytest.fixture(scope="module")
def berlin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in Berlin's time zone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", "Europe/Berlin")
        with running(MARIADB, tmp_path_factory.mktemp("berlin")) as server:
            yield server


@pytest.fixture(params=["?charset=utf8mb4", ""])
def kept(
    berlin: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[dg.DagsterInstance]:
    """An instance with its history there, by the shipped dagster.yaml, with a URL that says nothing of time zones."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(MYSQL, home)
    with empty_database(berlin.url) as url:
        monkeypatch.setenv("DAGSTER_MYSQL_URL", f"{url.replace('mysql://', 'mysql+mysqldb://')}{request.param}")
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with open_instance() as opened:
            yield opened


def test_an_event_in_the_skipped_hour_of_the_server_time_zone_is_kept(kept: dg.DagsterInstance) -> None:
    at = CLOCKS_CHANGE.timestamp()
    entry = dg.EventLogEntry(None, "debug", "", "run", at)  # type: ignore[no-untyped-call]  # Dagster's
    kept.event_log_storage.store_event(entry)
    assert [found.timestamp for found in kept.all_logs("run")] == [at]


@pytest.mark.parametrize(
    ("url", "session"),
    [
        ("mysql+mysqldb://u:p@h/dagster", DEFAULTS),
        ("mysql://u:p@h/dagster?charset=utf8mb4", {"charset": "utf8mb4", **DEFAULTS}),
        ("mysql+mysqldb://u:p@h/d?read_timeout=30", {**DEFAULTS, "read_timeout": "30"}),
        ("mysql+mysqldb://u:p@h/d?init_command=SET%20x%3D1", {**DEFAULTS, "init_command": "SET x=1"}),
        ("mysql+mysqlconnector://u:p@h/d?charset=utf8mb4", {"charset": "utf8mb4"}),
    ],
)
def test_the_session_of_the_history_is_in_utc_unless_the_url_says_otherwise(url: str, session: dict[str, str]) -> None:
    assert make_url(with_session_options(url)).query == session


@pytest.mark.parametrize("path", SHIPPED)
def test_the_url_that_is_shipped_and_documented_sets_the_time_zone(path: str) -> None:
    urls = re.findall(r"mysql\+mysqldb://\S+/dagster\S*", (CHECKOUT / path).read_text("utf-8"))
    assert urls
    assert all("init_command=SET%20time_zone%3D%27%2B00%3A00%27" in url for url in urls)

"""A bucket with one bad revision, `kmdb ui` on it, and a browser."""

import http.client
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy.engine import make_url

from dev.processes import end, find_program, free_port, spawn, tail, wait_until
from kmdb_dagster.dagster_ext.run_ranges import RANGE_END, RANGE_START
from kmdb_dagster.sample import sample_revision
from kmdb_dagster.settings import database_url as make_database_url
from kmdb_dagster.warehouse import Warehouse
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, line
from testing.databases import empty_database, make_tables

REVISIONS = int(os.environ.get("KMDB_TEST_REVISIONS", "6"))
BAD = 4
RECENT = 2
"""It has a fact of this year, which stays when a test drops those of 2014."""
NEW_YEAR_2026 = 1_767_225_600
T = 1_388_540_000
IMAGE = "![x](http://evil.example/x.png)<img src=http://evil.example/y.png>"
"""The name of an event that a visitor made up."""
PATIENCE_MS = 240_000 + 500 * REVISIONS
"""A busy machine takes minutes to what a quiet one does in seconds."""


class Site(NamedTuple):
    """What an operator has started, and who takes the alerts."""

    url: str
    bucket: FolderOfRevisions
    hook: Hook
    log: Path
    database: str
    """Its name."""
    database_url: str

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """Open the database that the imports write to."""
        opened = Warehouse(make_database_url(self.database_url))
        try:
            yield opened
        finally:
            opened.close()

    def launch_import(self, revision: int) -> str:
        """Launch a run over a revision, as the sensor does, and return its id."""
        job = '{repositoryLocationName: "kmdb_dagster", repositoryName: "__repository__", jobName: "import_revisions"}'
        tags = ", ".join(f'{{key: "{tag}", value: "{revision}"}}' for tag in (RANGE_START, RANGE_END))
        found = self.ask(
            f"mutation {{ launchRun(executionParams: {{selector: {job}, executionMetadata: {{tags: [{tags}]}}}}) "
            "{ ... on LaunchRunSuccess { run { runId } } } }"
        )
        return str(found["launchRun"]["run"]["runId"])

    def ask(self, query: str) -> dict[str, Any]:
        """Send a GraphQL query, as a script does."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.load(connection.getresponse())["data"]
        return answer


@pytest.fixture(scope="session")
def site(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`kmdb ui` on a bucket of REVISIONS revisions. BAD is a web server's error page.

    It is started without the bucket, as a newcomer may. `.env` names the bucket after the first tick of the sensor.
    """
    folder = tmp_path_factory.mktemp("browser")
    bucket, hook, port = FolderOfRevisions(folder / "bucket"), Hook(), free_port()
    hostile = [line({"_n": IMAGE, "_p": "eve", "_t": T, "note": IMAGE})] * 100
    for revision in range(1, REVISIONS + 1):
        bucket.put(revision, sample_revision(revision, lines=60), *hostile)
    bucket.put(RECENT, line({"_n": "signed up", "_p": "pia", "_t": NEW_YEAR_2026, "note": "new"}))
    bucket.put(BAD, b"<html><h1>503 Service Unavailable</h1></html>\n" * 200)
    url = f"http://127.0.0.1:{port}"
    (folder / "questions.toml").write_text("signups = 'trend \"signed up\" --every 1d'\n")
    with empty_database(server_url) as database, serving(hook):
        make_tables(database)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "DATABASE_URL": database,
            "KMDB_DATA_DIR": str(folder / "lake"),
            "KMDB_MIN_DATE": "2014-01-01",
            "KMDB_MAX_DATE": "2014-06-01",
            "KMDB_REVISIONS_PER_RUN": str(max(3, REVISIONS // 20)),
            "KMDB_ALERT_URLS": hook.url,
            "KMDB_UI_URL": url,
            "KMDB_QUESTIONS": str(folder / "questions.toml"),
            "DAGSTER_HOME": str(folder / "home"),
        }
        command = ["env", "-C", str(folder), str(Path(sys.executable).parent / "kmdb"), "ui", "--port", str(port)]
        process = spawn(command, folder / "ui.log", environment)
        try:
            site = Site(url, bucket, hook, folder / "ui.log", str(make_url(database).database), database)
            assert wait_until(lambda: has_ticked(site), 240), "the sensor did not tick"
            (folder / ".env").write_text(f"KMDB_LOCAL_BUCKET={bucket.folder}\n")
            yield site
        finally:
            end(process)


def has_ticked(site: Site) -> bool:
    """Return whether the sensor `new_revisions` has ticked."""
    sensor = '{repositoryLocationName: "kmdb_dagster", repositoryName: "__repository__", sensorName: "new_revisions"}'
    ticks = "{ ... on Sensor { sensorState { ticks(limit: 1) { id } } } }"
    try:
        return bool(
            site.ask(f"{{ sensorOrError(sensorSelector: {sensor}) {ticks} }}")["sensorOrError"]["sensorState"]["ticks"]
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        # The webserver or the code location has not started.
        return False


@pytest.fixture(scope="session")
def page(site: Site) -> Iterator[Page]:
    """A browser's page. What it shows at the end of a test that fails is kept as a picture."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # No sandbox: it cannot be had by root or in a container, and only our own pages are opened.
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=arguments)
        opened = browser.new_page(base_url=site.url, viewport={"width": 1500, "height": 950})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


@pytest.fixture(autouse=True)
def _picture(request: pytest.FixtureRequest, page: Page, site: Site) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        path = Path(tempfile.mkdtemp(prefix="kmdb-browser-")) / f"{request.node.name}.png"
        page.screenshot(path=path)
        sys.stderr.write(f"\n{page.url} looked like {path}. The end of the UI's log:\n{tail(site.log, 30)}\n")

"""A bucket with one bad revision, `kmdb ui` on it, and a browser."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy.engine import make_url

from dev.processes import end, find_program, free_port, spawn, tail
from kmdb_dagster.sample import sample_revision
from testing.alert_receivers import Hook, serving
from testing.buckets import FolderOfRevisions, line
from testing.databases import empty_database, make_tables

REVISIONS = int(os.environ.get("KMDB_TEST_REVISIONS", "6"))
BAD = 4
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


@pytest.fixture(scope="session")
def site(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`kmdb ui` on a bucket of REVISIONS revisions. BAD is a web server's error page."""
    folder = tmp_path_factory.mktemp("browser")
    bucket, hook, port = FolderOfRevisions(folder / "bucket"), Hook(), free_port()
    hostile = [line({"_n": IMAGE, "_p": "eve", "_t": T, "note": IMAGE})] * 100
    for revision in range(1, REVISIONS + 1):
        bucket.put(revision, sample_revision(revision, lines=60), *hostile)
    bucket.put(BAD, b"<html><h1>503 Service Unavailable</h1></html>\n" * 200)
    url = f"http://127.0.0.1:{port}"
    (folder / "questions.toml").write_text("signups = 'trend \"signed up\" --every 1d'\n")
    with empty_database(server_url) as database, serving(hook):
        make_tables(database)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "DATABASE_URL": database,
            "KMDB_LOCAL_BUCKET": str(bucket.folder),
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
            yield Site(url, bucket, hook, folder / "ui.log", str(make_url(database).database), database)
        finally:
            end(process)


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

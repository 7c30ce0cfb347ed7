"""What an operator does when an import needs a repair: at most three clicks from the home page, and no terminal."""

import re

import pytest
from playwright.sync_api import Page, Response, expect
from sqlalchemy import text

from dev.processes import wait_until
from kmdb_dagster.sample import sample_revision
from kmdb_dagster_tests.browser.conftest import BAD, REVISIONS, Site
from kmdb_dagster_tests.browser.test_operating import PARTITIONS, configure, launch, shows

pytestmark = pytest.mark.timeout(900)

NEW = REVISIONS + 1
BROKEN = b"<html><h1>503 Service Unavailable</h1></html>\n" * 200


class Clicks:
    """An operator at the home page, whose clicks are counted."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.count = 0
        page.goto("/")

    def link(self, name: str) -> "Clicks":
        """Click a link."""
        self.count += 1
        self._page.get_by_role("link", name=name).first.click()
        return self

    def tab(self, name: str) -> "Clicks":
        """Click a tab."""
        self.count += 1
        self._page.get_by_role("tab", name=name).first.click()
        return self

    def launch(self, name: str) -> "Clicks":
        """Click a button that launches a run. Wait for the answer: leaving the page would cancel the request."""
        self.count += 1
        with self._page.expect_response(is_launch):
            self._page.get_by_role("button", name=name).first.click()
        return self


def test_a_new_revision_that_fails_is_found_with_its_reason_in_two_clicks(page: Page, site: Site) -> None:
    site.bucket.put(BAD, sample_revision(BAD, lines=60))
    site.bucket.put(NEW, BROKEN)
    assert wait_until(lambda: outcome_of(site, NEW) == "failed", 480), "the revision did not fail"
    clicks = Clicks(page).link("Runs")
    clicks.count += 1
    page.get_by_text("Failure").first.wait_for()
    page.locator("tr, [data-index]").filter(has_text="Failure").first.get_by_role("link").first.click()
    expect(page.get_by_text(f"No line of revision {NEW} can be imported").first).to_be_visible()
    assert clicks.count == 2


def test_everything_outstanding_is_repaired_in_three_clicks(page: Page, site: Site) -> None:
    site.bucket.put(NEW, sample_revision(NEW, lines=60))
    clicks = Clicks(page).link("Jobs").link("import_outstanding").launch("Materialize")
    assert clicks.count == 3
    shows(page, PARTITIONS, lambda: page.get_by_text(f"Materialized ({NEW})"))
    page.goto("/runs?view=backfills")
    expect(page.get_by_text("outstanding_revisions").first).to_be_visible()


def test_the_bucket_is_looked_at_now_in_three_clicks_and_a_changed_file_is_imported(page: Page, site: Site) -> None:
    site.bucket.put(1, sample_revision(1, lines=61))
    clicks = Clicks(page).link("Jobs").link("scan_bucket").launch("Observe")
    assert clicks.count == 3
    shows(page, "/assets/kissmetrics_bucket", lambda: page.get_by_text("changed_revisions"))
    assert wait_until(lambda: outcome_of(site, 1) == "61 lines", 480), "the changed file was not imported"


def test_a_filter_is_added_and_its_effect_seen_in_five_clicks(page: Page) -> None:
    clicks = Clicks(page).link("Jobs").link("change_filters").tab("Launchpad")
    configure(page, "ops: {change_names: {config: {blacklist: [note], dry_run: false}}}")
    launch(page)
    clicks.count += 2  # into the editor, and Launch Run
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    # Another test drops old facts: of the recent revision there is one value of this property.
    expect(page.get_by_text(re.compile(r"would remove 0 events and [1-9][\d,]* property value")).first).to_be_visible()
    assert clicks.count == 5


def is_launch(response: Response) -> bool:
    """Return whether a response is the answer to the launch of a run."""
    return "LaunchPipelineExecution" in (response.request.post_data or "")


def outcome_of(site: Site, revision: int) -> str | None:
    """Read from the ledger what became of a revision; None if it was not attempted."""
    statement = (
        "SELECT IF(error IS NULL, CONCAT(`lines`, ' lines'), 'failed') FROM revisions WHERE revision = :revision"
    )
    with site.warehouse() as opened, opened.engine.connect() as connection:
        found = connection.execute(text(statement), {"revision": revision}).scalar()
    return None if found is None else str(found)

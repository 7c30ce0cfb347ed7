"""What the UI shows of the whole warehouse, whatever becomes of an import."""

import re

import pytest
from playwright.sync_api import Page, expect

from dev.processes import wait_until
from kmdb_dagster.sample import sample_revision
from kmdb_dagster_tests.browser.conftest import BAD, RECENT, Site
from kmdb_dagster_tests.browser.test_operating import LAUNCHPAD, PARTITIONS, configure, launch, shows
from kmdb_dagster_tests.browser.test_repairing import is_launch, outcome_of

pytestmark = pytest.mark.timeout(600)

CHECKS = "/assets/{}?view=checks"
NEVER_RAN = re.compile("^(Execution failed|Skipped|Dependencies failed)$")


def materialize(page: Page, asset: str) -> None:
    """Press the button of an asset, and see its run succeed."""
    page.goto(f"/assets/{asset}")
    page.get_by_role("button").filter(has_text="Materialize").first.click()
    page.get_by_text("View", exact=True).first.click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def materialize_failed(page: Page) -> None:
    """Choose the failed partitions in the dialog of `events`: one of them is one run."""
    page.goto("/assets/events")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Failed", exact=True).click()
    with page.expect_response(is_launch):
        dialog.get_by_role("button", name="Launch 1 run").click()


def import_range(page: Page, first: int, last: int) -> None:
    """Request a backfill in the Launchpad."""
    page.goto(LAUNCHPAD.format("import_range"))
    configure(page, f"ops: {{request_backfill: {{config: {{first: {first}, last: {last}}}}}}}")
    launch(page)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def test_one_button_refreshes_the_figures_and_runs_every_check(page: Page) -> None:
    shows(page, PARTITIONS, lambda: page.get_by_text(re.compile(r"Materialized \([1-9]")))
    materialize(page, "warehouse")
    page.goto("/assets/warehouse")
    expect(page.get_by_text("Row count", exact=True)).to_be_visible()
    page.goto(CHECKS.format("warehouse"))
    expect(page.get_by_text("facts_agree_with_ledger").first).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True).nth(5)).to_be_visible()
    expect(page.get_by_text(NEVER_RAN)).to_have_count(0)


def test_an_import_that_fails_leaves_the_results_of_all_checks(page: Page, site: Site) -> None:
    site.bucket.put(BAD, b"<html><h1>503 Service Unavailable</h1></html>\n" * 200)
    import_range(page, BAD, BAD)
    shows(page, PARTITIONS, lambda: page.get_by_text("Failed (1)"))
    for asset, check in (("warehouse", "bookkeeping_agrees"), ("events", "lines_accounted_for")):
        page.goto(CHECKS.format(asset))
        expect(page.get_by_text(check).first).to_be_visible()
        expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
        expect(page.get_by_text(NEVER_RAN)).to_have_count(0)
    site.bucket.put(BAD, sample_revision(BAD, lines=60))
    materialize_failed(page)
    shows(page, PARTITIONS, lambda: page.get_by_text("Failed (0)"))


def test_a_revision_says_how_many_rows_it_has_and_claims_no_total(page: Page) -> None:
    page.goto("/assets/events")
    expect(page.get_by_text("non-nullable").first).to_be_visible()
    expect(page.get_by_text("Row count", exact=True)).to_have_count(0)
    page.goto(f"{PARTITIONS}&partition=1")
    expect(page.get_by_text("dagster/partition_row_count").first).to_be_visible()


def test_lineage_opens_as_the_way_of_the_data(page: Page) -> None:
    page.goto("/asset-groups")
    for asset in ("kissmetrics_bucket", "raw_revisions", "user_map", "warehouse", "import_report"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_the_list_of_runs_names_their_revisions(page: Page) -> None:
    page.goto("/runs")
    expect(page.get_by_text(re.compile(r"^kmdb/revisions: \d")).first).to_be_visible()


def test_the_picture_of_an_answer_is_shown_without_a_click(page: Page, site: Site) -> None:
    assert wait_until(lambda: outcome_of(site, RECENT) == "1 lines", 240), "the revision was not imported"
    materialize(page, "questions/signups")
    page.goto("/assets/questions/signups")
    picture = page.get_by_role("img", name="picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.complete && picture.naturalWidth > 300")

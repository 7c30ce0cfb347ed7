"""The first hour of an operator in the UI, in this order and without a terminal."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from dev.processes import wait_until
from kmdb_dagster.sample import sample_revision
from kmdb_dagster_tests.browser.conftest import BAD, IMAGE, PATIENCE_MS, REVISIONS, Site

pytestmark = pytest.mark.timeout(600)

LAUNCHPAD = "/locations/kmdb_dagster/jobs/{}/playground"
SENSOR = "/locations/kmdb_dagster/sensors/{}"
PARTITIONS = "/assets/events?view=partitions"
EDITOR = ".CodeMirror"


def test_a_tick_without_a_bucket_says_in_its_log_what_is_missing(page: Page) -> None:
    page.goto(SENSOR.format("new_revisions"))
    page.get_by_role("button", name="View logs").last.click()
    expect(page.get_by_role("dialog").get_by_text("AWS_BUCKET is not set.")).to_be_visible()


def test_a_tick_of_alerts_says_in_its_log_what_is_open(page: Page) -> None:
    page.goto(SENSOR.format("alerts"))
    page.get_by_role("button", name="View logs").first.click()
    expect(page.get_by_role("dialog").get_by_text("No open incidents.")).to_be_visible()


def test_the_sensor_imports_the_bucket_and_the_bad_revision_is_shown_as_failed(page: Page) -> None:
    shows(page, PARTITIONS, lambda: page.get_by_text(f"Materialized ({REVISIONS - 1})"))
    expect(page.get_by_text("Failed (1)")).to_be_visible()
    expect(page.get_by_text("Missing (0)")).to_be_visible()


def test_the_alert_links_to_the_run_which_shows_the_reason(page: Page, site: Site) -> None:
    def told() -> list[str]:
        return [alert["message"] for alert in site.hook.taken if "the import of revisions" in alert["title"]]

    assert wait_until(lambda: bool(told()), 240), "no alert came"
    (link,) = re.findall(rf"{site.url}/runs/[0-9a-f-]{{36}}", told()[0])
    page.goto(link)
    expect(page.get_by_text(f"No line of revision {BAD} can be imported").first).to_be_visible()


def test_the_repaired_revision_is_requested_again_by_a_typed_range(page: Page, site: Site) -> None:
    site.bucket.put(BAD, sample_revision(BAD, lines=60))
    page.goto(LAUNCHPAD.format("import_range"))
    first, last = BAD - 1, BAD + 1
    configure(page, f"ops:\n  request_backfill:\n    config:\n      first: {first}\n      last: {last}\n")
    launch(page)
    expect(page.get_by_text(re.compile(r"Requested backfill \w{8}")).first).to_be_visible()


def test_a_dry_run_shows_the_time_partitions_and_creates_none(page: Page) -> None:
    page.goto(LAUNCHPAD.format("partition_tables"))
    expect(page.locator(EDITOR).get_by_text("dry_run").first).to_be_visible()
    launch(page)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("events: 23 partitions to add: past (before 2014-01-01)").first).to_be_visible()


def test_the_backfill_completes_and_every_revision_is_imported(page: Page) -> None:
    shows(page, PARTITIONS, lambda: page.get_by_text(f"Materialized ({REVISIONS})"))
    page.goto("/runs?view=backfills")
    expect(page.get_by_text(f"revisions_{BAD - 1}..{BAD + 1}").first).to_be_visible()


def test_an_image_in_a_hostile_event_name_is_shown_as_text(page: Page, site: Site) -> None:
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    run_to_its_end(page, "ask", "answer_question", "question: trend --every 1d --since 2014-01-01 --until 2014-03-01")
    page.get_by_text("[Show Markdown]").first.click()
    expect(page.get_by_role("dialog").get_by_text(IMAGE.partition("(")[0]).first).to_be_visible()
    expect(page.get_by_role("dialog").locator("img")).to_have_count(1)
    assert [url for url in fetched if not url.startswith((site.url, "data:", "blob:"))] == []


def test_old_facts_are_dropped_after_a_dry_run_has_shown_them(page: Page, site: Site) -> None:
    run_to_its_end(page, "partition_tables", "add_partitions", "dry_run: false")
    with imports_that_wait(site, 1, 2, 3) as statuses:
        run_to_its_end(page, "drop_partitions", "drop_old_partitions", 'before: "2014-02-01"')
        assert statuses() == ["QUEUED", "STARTED", "STARTED"]
    expect(page.get_by_text("A dry run: nothing is changed.").first).to_be_visible()
    expect(page.get_by_text("events: 5 partitions to drop: past (before 2014-01-01)").first).to_be_visible()
    options = f'before: "2014-02-01", dry_run: false, confirm: {site.database}'
    run_to_its_end(page, "drop_partitions", "drop_old_partitions", options)
    expect(page.get_by_text("Running them now.").first).to_be_visible()


@contextmanager
def imports_that_wait(site: Site, *revisions: int) -> Iterator[Callable[[], list[str]]]:
    """Imports of these revisions, one run each, that cannot end inside the block. Two of them are started.

    Yields:
        Returns the sorted statuses of the runs.
    """

    def statuses() -> list[str]:
        found = site.ask(
            f"{{ runsOrError(filter: {{runIds: {json.dumps(runs)}}}) {{ ... on Runs {{ results {{ status }} }} }} }}"
        )
        return sorted(run["status"] for run in found["runsOrError"]["results"])

    locked = f"SELECT revision FROM revisions WHERE revision IN ({', '.join(map(str, revisions))}) FOR UPDATE"  # noqa: S608
    with site.warehouse() as opened, opened.engine.begin() as connection:
        connection.exec_driver_sql(locked)
        runs = [site.launch_import(revision) for revision in revisions]
        assert wait_until(lambda: statuses().count("STARTED") == 2, 240), "the imports did not start"
        yield statuses


def shows(page: Page, path: str, what: Callable[[], Locator]) -> None:
    """Look at a page now and then, until it shows something."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        page.goto(path)
        try:
            expect(what()).to_be_visible(timeout=5000)
        except AssertionError:
            continue
        return
    expect(what()).to_be_visible(timeout=1)


def configure(page: Page, yaml: str) -> None:
    """Put a configuration in place of the Launchpad's."""
    expect(page.locator(EDITOR).get_by_text("ops").first).to_be_visible()
    page.locator(EDITOR).click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(yaml)


def run_to_its_end(page: Page, job: str, op: str, options: str) -> None:
    """Launch a job with these options of its op, and see it succeed."""
    page.goto(LAUNCHPAD.format(job))
    configure(page, f"ops: {{{op}: {{config: {{{options}}}}}}}")
    launch(page)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def launch(page: Page) -> None:
    """Press the button, and come to the run's page."""
    button = page.get_by_role("button", name="Launch Run")
    expect(button).to_be_enabled()
    button.click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))

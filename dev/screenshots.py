"""`python -m dev.screenshots`: take pictures of Dagster's UI on the demo, for the README and the tutorial.

Needs `dev/demo` done, `dev/ui` running, Debian's chromium and the dependency group `browser`. It first runs a
backfill, so that its page shows something. Look at the pictures before you commit them.
"""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from dotenv import dotenv_values
from playwright.sync_api import Locator, Page, expect, sync_playwright
from rich.console import Console

from dev import site
from dev.processes import DevError, find_program
from dev.servers import HOST

PICTURES = site.ROOT / "docs" / "pictures"
WIDTH = 1280
TIMEOUT_MS = 240_000
RANGE = "11..20"
SETTLE_SECONDS = 3.0
"""A page of Dagster's goes on drawing after its text is there."""


class Screenshot(NamedTuple):
    """A page of the UI, and how to know that it is complete."""

    name: str
    """The picture is docs/pictures/ui-NAME.png."""
    path: str
    is_complete: Callable[[Page], Locator]
    prepare: Callable[[Page], None] = lambda _: None
    """What to open on the page."""
    height: int = 640
    """Pixels from the top that the picture has."""


def main() -> int:
    """Take all pictures, or those that are named as arguments."""
    console = Console(highlight=False)
    entry = site.fleet().running(site.WEBSERVER)
    if entry is None:
        console.print("The demo's UI does not run. Run `dev/demo`, then `dev/ui` in another terminal.")
        return 1
    wanted = [shot for shot in SCREENSHOTS if shot.name in sys.argv[1:] or not sys.argv[1:]]
    try:
        with sync_playwright() as playwright:
            # No sandbox: root and containers cannot have one, and only the demo's pages are opened.
            browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
            page = browser.new_page(
                base_url=f"http://{HOST}:{entry.port}", viewport={"width": WIDTH, "height": 640}, color_scheme="light"
            )
            page.set_default_timeout(TIMEOUT_MS)
            expect.set_options(timeout=TIMEOUT_MS)
            if not sys.argv[1:]:
                fill_history()
            page.goto("/runs")
            page.get_by_text("Hide navigation").click()
            for shot in wanted:
                take(page, shot)
                console.print(f"docs/pictures/ui-{shot.name}.png")
            browser.close()
    except DevError as error:
        console.print(str(error))
        return 1
    return 0


def fill_history() -> None:
    """Import a range again."""
    settings = {name: value or "" for name, value in dotenv_values(site.SETTINGS).items()}
    site.run(["kmdb", "import", RANGE], settings)


def take(page: Page, shot: Screenshot) -> None:
    """Open a page, wait until it is complete, and write its picture."""
    page.goto(shot.path)
    shot.prepare(page)
    expect(shot.is_complete(page).first).to_be_visible()
    time.sleep(SETTLE_SECONDS)
    path = PICTURES / f"ui-{shot.name}.png"
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": shot.height})


SCREENSHOTS = (
    Screenshot(
        "lineage",
        "/asset-groups",
        lambda page: page.get_by_text("raw_revisions"),
        # The states of the assets come later than their names, one by one.
        lambda page: page.wait_for_timeout(20_000),
    ),
    Screenshot("partitions", "/assets/events?view=partitions&partition=11", lambda page: page.get_by_text("imported")),
    Screenshot("checks", "/assets/warehouse?view=checks", lambda page: page.get_by_text("facts_agree_with_ledger")),
    Screenshot("backfills", "/runs?view=backfills", lambda page: page.get_by_text("revisions_"), height=260),
    Screenshot(
        "report",
        "/assets/import_report",
        lambda page: page.get_by_role("img", name="picture"),
        lambda page: page.get_by_role("img", name="picture").first.scroll_into_view_if_needed(),
    ),
)


if __name__ == "__main__":
    sys.exit(main())

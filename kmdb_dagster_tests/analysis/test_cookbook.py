"""Every answer on docs/how-to/query.md is the one that the database gives.

`KMDB_WRITE_ANSWERS=1 pytest -k cookbook` writes them there again.
"""

import os
from pathlib import Path

import pytest

from kmdb_dagster.analysis.views import create_event_view, create_people_view, list_views
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.analysis.cookbook import answered

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "query.md"


def test_docs_the_answers_of_the_cookbook_are_what_the_database_says(
    sample: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", sample.engine.url.render_as_string(hide_password=False))
    create_event_view(sample.engine, "signed up")
    create_people_view(sample.engine, ["plan name"])
    page = PAGE.read_text("utf-8")
    now = answered(page, sample.engine)
    if os.environ.get("KMDB_WRITE_ANSWERS"):
        PAGE.write_text(now, "utf-8")
    assert page == now
    assert {view.name for view in list_views(sample.engine)} == {"event_signed_up", "people"}

"""Pictures within the Markdown of materializations, as our webserver serves them."""

import asyncio
import base64
import io
import re
from http import HTTPStatus
from typing import Any

import dagster as dg
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kmdb_dagster.charts.images import render
from kmdb_dagster.dagster_ext.metadata import picture_links
from kmdb_dagster.dagster_ext.pictures import Pictures

FIRST, SECOND = (render(Figure(figsize=(inches, 2))) for inches in (6, 5))
MAX_INLINE_CHARACTERS = 1000
"""The UI of Dagster 1.13 shows shorter Markdown at once."""


@dg.asset(key_prefix="questions")
def signups(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Draw two pictures."""
    markdown = "".join(f"![](data:image/png;base64,{base64.b64encode(png).decode()})\n" for png in (FIRST, SECOND))
    return dg.MaterializeResult(metadata={**picture_links(context, markdown), "answer": dg.MetadataValue.md(markdown)})


@pytest.fixture
def links(instance: dg.DagsterInstance) -> str:
    """What the UI shows at once of a materialization."""
    (event,) = dg.materialize([signups], instance=instance).get_asset_materialization_events()
    return str(event.materialization.metadata["pictures"].value)


async def passed_on(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer as Dagster's own application does."""
    await send({"type": "http.response.start", "status": HTTPStatus.IM_A_TEAPOT, "headers": []})
    await send({"type": "http.response.body", "body": b"Dagster"})


def get(instance: dg.DagsterInstance, path: str) -> tuple[int, bytes]:
    """Request a path, and return the status and the body."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(Pictures(passed_on, instance)(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_the_links_are_short_and_lead_to_the_pictures_of_that_materialization(
    instance: dg.DagsterInstance, links: str
) -> None:
    assert len(links) < MAX_INLINE_CHARACTERS
    paths = re.findall(r"\]\(([^)]*/\d)\)", links)
    assert [get(instance, path) for path in paths] == [(HTTPStatus.OK, FIRST), (HTTPStatus.OK, SECOND)]


def test_the_ui_shows_them_in_a_size_that_fits_into_its_page(instance: dg.DagsterInstance, links: str) -> None:
    small = [get(instance, path)[1] for path in re.findall(r"!\[picture\]\((.*?)\)", links)]
    assert [Image.open(io.BytesIO(png)).size for png in small] == [(560, 187), (560, 224)]


def test_a_picture_that_does_not_exist_is_not_found(instance: dg.DagsterInstance, links: str) -> None:
    path = re.findall(r"\]\(([^)]*)/0\)", links)[0]
    assert get(instance, f"{path}/2")[0] == HTTPStatus.NOT_FOUND
    assert get(instance, f"{path}s/0")[0] == HTTPStatus.NOT_FOUND
    assert get(instance, f"/pictures/{'0' * 36}/questions/signups/0")[0] == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["/graphql", "/pictures/", "/pictures/x/../0", "/assets/questions/signups"])
def test_other_requests_are_for_dagster(instance: dg.DagsterInstance, path: str) -> None:
    assert get(instance, path) == (HTTPStatus.IM_A_TEAPOT, b"Dagster")

"""Serves the pictures that are within the Markdown of materializations: `metadata.picture_links` links to them."""

import base64
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

import dagster as dg
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kmdb_dagster.charts.images import shrink_png
from kmdb_dagster.dagster_ext.metadata import EMBEDDED_PNG

PICTURE = re.compile(r"/pictures/([0-9a-f-]{36})/([\w/]+)/(\d+)(/small)?")
"""The path: the run, the asset, which of its pictures, from 0, and whether it is to fit into the page."""
SMALL_PIXELS = 560
"""The width that the UI's table of metadata has in a window of 1,500 pixels. It does not scale pictures down."""

IMMUTABLE = {"Cache-Control": "private, max-age=86400, immutable"}


class Pictures:
    """An ASGI application that serves pictures, and passes all other requests on."""

    def __init__(self, app: ASGIApp, instance: dg.DagsterInstance) -> None:
        self._app = app
        self._instance = instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asked = PICTURE.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        response = await run_in_threadpool(self._answer, asked)
        await response(scope, receive, send)

    def _answer(self, asked: re.Match[str]) -> Response:
        run_id, asset, number, small = asked.groups()
        found = next(islice(self._pictures(run_id, asset), int(number), None), None)
        if found is None:
            return Response("No such picture.", HTTPStatus.NOT_FOUND, media_type="text/plain")
        png = base64.b64decode(found)
        return Response(shrink_png(png, SMALL_PIXELS) if small else png, media_type="image/png", headers=IMMUTABLE)

    def _pictures(self, run_id: str, asset: str) -> Iterator[str]:
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            event = entry.dagster_event
            if event and event.asset_key and event.asset_key.to_user_string() == asset:
                for value in event.step_materialization_data.materialization.metadata.values():
                    if isinstance(value, dg.MarkdownMetadataValue):
                        yield from EMBEDDED_PNG.findall(value.value or "")

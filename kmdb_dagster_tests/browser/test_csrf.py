"""A page of another site can do nothing to the UI of an operator who opens it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from kmdb_dagster_tests.browser.conftest import Site

pytestmark = pytest.mark.timeout(600)

JOB = "drop_partitions"
RUNS = f'{{ runsOrError(filter: {{pipelineName: "{JOB}"}}) {{ ... on Runs {{ results {{ runId }} }} }} }}'

ATTACK = """<!doctype html><title>attack</title>
<img src="UI/graphql?query=QUERY">
<iframe name="sink"></iframe><iframe id="frame" src="UI/runs"></iframe>
<form method="post" enctype="text/plain" target="sink" action="UI/graphql?query=QUERY">
<input name='BODY' value=''></form>
<form method="get" target="sink" action="UI/graphql"><input name="query" value='MUTATION'></form>
<script>
async function attack() {
  const body = JSON.stringify({query: MUTATION_JSON});
  const send = (options) => fetch("UI/graphql", options).then((r) => "answered " + r.type, () => "refused");
  for (const form of document.forms) form.submit();
  navigator.sendBeacon("UI/graphql", body);
  const done = [
    await send({method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain; application/json"}, body}),
    await send({method: "POST", headers: {"Content-Type": "application/json"}, body}),
    await send({method: "POST", mode: "no-cors", credentials: "include", body}),
  ];
  done.push(await new Promise((resolve) => {
    const socket = new WebSocket("UI/graphql".replace("http", "ws"), "graphql-ws");
    socket.onopen = () => resolve("opened");
    socket.onerror = () => resolve("refused");
  }));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  return done;
}
</script>"""


def launch(site: Site) -> str:
    """The mutation that launches the job, with all that it asks for."""
    options = {"before": "1971-01-01", "dry_run": False, "confirm": site.database}
    config = json.dumps({"ops": {"drop_old_partitions": {"config": options}}})
    return (
        "mutation { launchRun(executionParams: {selector: {repositoryLocationName: "
        f'"kmdb_dagster", repositoryName: "__repository__", jobName: "{JOB}"}}, '
        f"runConfigData: {json.dumps(config)}}}) {{ __typename }} }}"
    )


@contextmanager
def foreign_page(site: Site) -> Iterator[int]:
    """A foreign web server on this machine, and its port."""
    mutation = launch(site)
    replaced = {
        "UI": site.url,
        "QUERY": quote(mutation),
        "MUTATION_JSON": json.dumps(mutation),
        "MUTATION": mutation.replace("'", "&#39;"),
        "BODY": json.dumps({"query": mutation}).replace("'", "&#39;"),
    }
    page = ATTACK
    for word, meaning in replaced.items():
        page = page.replace(word, meaning)

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_a_page_of_another_site_cannot_launch_a_job(page: Page, site: Site, host: str) -> None:
    before = site.ask(RUNS)
    with foreign_page(site) as port:
        page.goto(f"http://{host}:{port}/")
        done = page.evaluate("attack()")
        assert site.ask(RUNS) == before
        # An answer to `no-cors` is opaque: that nothing came of it is asked above.
        assert done == ["answered opaque", "refused", "answered opaque", "refused"]
        framed = [frame.url for frame in page.frames if frame.url.startswith(site.url)]
        assert not any("Overview" in frame.content() for frame in page.frames[1:]), framed


def test_a_foreign_host_name_for_this_machine_is_refused(page: Page, site: Site) -> None:
    answer = page.goto(site.url.replace("127.0.0.1", "rebound.example"))
    assert answer is not None
    assert answer.status == HTTPStatus.MISDIRECTED_REQUEST
    assert "KMDB_UI_HOSTS" in answer.text()


def test_a_link_on_a_foreign_page_opens_the_ui(page: Page, site: Site) -> None:
    with foreign_page(site) as port:
        page.goto(f"http://evil.example:{port}/")
        page.evaluate(f"location.href = '{site.url}/runs'")
        page.wait_for_url(f"{site.url}/runs")
    assert "Dagster" in page.content()


def test_the_same_job_is_launched_from_the_ui_itself(site: Site) -> None:
    assert site.ask(launch(site)) == {"launchRun": {"__typename": "LaunchRunSuccess"}}
    assert site.ask(RUNS)["runsOrError"]["results"]

"""The commands that serve the UI: a real webserver of each, and requests as browsers and scripts send them."""

import http.client
import json
import os
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import pytest

from dev.processes import Process, alive, end, free_port, spawn, tail, wait_until
from kmdb_dagster.dagster_ext.webserver import OURS, replace_webserver

KMDB = str(Path(sys.executable).parent / "kmdb")
MUTATION = "mutation { setNuxSeen }"
JSON = {"Content-Type": "application/json"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}
COMMANDS = {
    "kmdb webserver": ["webserver", "-h", "127.0.0.1", "-p", "{port}", "-f", "empty.py"],
    "kmdb ui": ["ui", "--port", "{port}"],
}


def ask(port: int, method: str, path: str, headers: dict[str, str], body: str | None = None) -> int:
    """The status of an answer; 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.fixture(scope="module", params=COMMANDS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a webserver answers."""
    folder, number = tmp_path_factory.mktemp("webserver"), free_port()
    (folder / "empty.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "KMDB_UI_HOSTS": "kmdb.internal",
    }
    command = [KMDB, *(word.format(port=number) for word in COMMANDS[request.param])]
    log = folder / "log"
    process: Process = spawn(["env", "-C", str(folder), *command], log, environment)
    try:
        there = wait_until(lambda: ask(number, "GET", "/server_info", {}) != 0 or not alive(process), 180)
        assert there, tail(log)
        assert alive(process), tail(log)
        yield number
    finally:
        end(process)


def test_queries_and_changes_of_the_ui_itself_are_answered(port: int) -> None:
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert ask(port, "GET", "/server_info", own) == HTTPStatus.OK
    assert ask(port, "GET", "/runs", {"Host": f"kmdb.internal:{port}"}) == HTTPStatus.OK
    assert ask(port, "GET", f"/graphql?query={quote('{ version }')}", own) == HTTPStatus.OK
    body = json.dumps({"query": MUTATION})
    assert ask(port, "POST", "/graphql", {**own, **JSON}, body) == HTTPStatus.OK
    assert ask(port, "GET", "/graphql", {**own, **UPGRADE}) == HTTPStatus.SWITCHING_PROTOCOLS


def test_requests_that_another_site_causes_are_refused(port: int) -> None:
    body = json.dumps({"query": MUTATION})
    foreign = {"Origin": "http://evil.example"}
    assert ask(port, "GET", f"/graphql?query={quote(MUTATION)}", {}) == HTTPStatus.FORBIDDEN
    assert ask(port, "GET", "/runs", {"Host": "evil.example"}) == HTTPStatus.MISDIRECTED_REQUEST
    assert ask(port, "POST", "/graphql", {**foreign, **JSON}, body) == HTTPStatus.FORBIDDEN
    assert ask(port, "POST", "/graphql", {"Sec-Fetch-Site": "same-site", **JSON}, body) == HTTPStatus.FORBIDDEN
    text = {"Content-Type": "text/plain; application/json"}
    assert ask(port, "POST", "/graphql", text, body) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert ask(port, "GET", "/graphql", {**foreign, **UPGRADE}) == HTTPStatus.FORBIDDEN


def test_only_the_webserver_command_of_dagster_dev_is_replaced() -> None:
    daemon = ["python", "-m", "dagster._daemon", "run"]
    assert replace_webserver(daemon) == daemon
    assert replace_webserver(["python", "-m", "dagster_webserver", "--port", "3"]) == ["python", *OURS, "--port", "3"]


def test_another_way_of_dagster_to_start_its_webserver_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"Install dagster==1\.13"):
        replace_webserver(["dagster-webserver", "--port", "3"])

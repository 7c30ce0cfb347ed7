"""Which requests may reach Dagster's webserver: the rules, by cases and by generated requests."""

import asyncio
import json
from http import HTTPStatus
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.csrf_middleware import CsrfMiddleware, Message, Names, Receive, Request, Send, names_of, refusal
from kmdb_dagster.errors import SettingsError
from kmdb_dagster.settings import load_settings

HERE = "127.0.0.1:3000"
PROXIED = names_of("https://kmdb.example.com/dagster", ["10.0.0.5:3000", "kmdb.internal"])
ALONE = names_of("http://127.0.0.1:3000", [])
JSON = ("content-type", "application/json")
MUTATION = "mutation { launchRun(executionParams: {}) { __typename } }"


def request(
    *headers: tuple[str, str], method: str = "GET", path: str = "/graphql", query: str = "", host: str = HERE
) -> Request:
    return Request(method, path, query, [("host", host), *headers])


def status(asked: Request, names: Names = ALONE) -> int | None:
    found = refusal(asked, names)
    return found.status if found else None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:8080", "127.1.2.3"],
)
def test_loopback_names_are_allowed_hosts(host: str) -> None:
    assert status(request(host=host)) is None


@pytest.mark.parametrize("host", ["kmdb.example.com", "KMDB.example.com:443", "10.0.0.5", "kmdb.internal:8080"])
def test_hosts_of_the_settings_are_allowed(host: str) -> None:
    assert status(request(host=host), PROXIED) is None
    assert status(request(host=host), ALONE) == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:3000",
        "evil.example#127.0.0.1",
        "127.0.0.1@evil.example",
        "kmdb.example.com.evil.example",
        "0.0.0.0:3000",
        "",
        " ",
    ],
)
def test_a_foreign_host_name_is_refused_against_dns_rebinding(host: str) -> None:
    assert status(request(host=host), PROXIED) == HTTPStatus.MISDIRECTED_REQUEST


def test_a_request_without_one_host_header_is_refused() -> None:
    assert status(Request("GET", "/", "", [])) == HTTPStatus.MISDIRECTED_REQUEST
    assert status(request(("host", HERE))) == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (HERE, "http://127.0.0.1:3000"),
        ("localhost:8080", "http://localhost:8080"),
        ("kmdb.example.com", "https://kmdb.example.com"),
        ("kmdb.example.com:443", "https://kmdb.example.com"),
        (HERE, "https://kmdb.example.com"),  # a proxy that changes the Host header
        (HERE, "http://10.0.0.5:3000"),
    ],
)
def test_requests_of_the_ui_itself_may_change_data(host: str, origin: str) -> None:
    own = request(("origin", origin), ("sec-fetch-site", "same-origin"), JSON, method="POST", host=host)
    assert status(own, PROXIED) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1",
        "http://127.0.0.1:3001",
        "http://localhost:3000",
        "http://127.0.0.1:3000.evil.example",
        "http://evil.example@127.0.0.1:3000",
        "http://kmdb.example.com",
        "null",
        "",
        "file://",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_a_foreign_page_is_refused_by_its_origin(origin: str, method: str) -> None:
    assert status(request(("origin", origin), JSON, method=method), PROXIED) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard of"])
@pytest.mark.parametrize("destination", ["image", "iframe", "embed", "empty", "script"])
def test_a_foreign_page_is_refused_by_fetch_metadata(site: str, destination: str) -> None:
    fetched = (("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", destination))
    assert status(request(*fetched, path="/runs")) == HTTPStatus.FORBIDDEN


def test_a_link_from_another_site_opens_the_ui_read_only() -> None:
    followed = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    assert status(request(*followed, path="/runs/5ca1ab1e")) is None
    assert status(request(*followed, query=urlencode({"query": MUTATION}))) == HTTPStatus.FORBIDDEN
    assert status(request(*followed, JSON, method="POST")) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/dagster/graphql"])
@pytest.mark.parametrize(
    "words",
    [
        MUTATION,
        "# query { x }\nmutation { x }",
        "query A { x } mutation B { x }",
        "\ufeff,,, mutation\t{ x }",
        "subscription { x }",
        "",
        "nonsense",
        "{" * 5000,
    ],
)
def test_mutations_and_unreadable_queries_by_get_are_refused(words: str, path: str) -> None:
    for query in (
        urlencode({"query": words}),
        f"query=%7Bx%7D&query={quote(words)}",
        f"query={quote(words)}&query={{x}}",
    ):
        assert status(request(query=query, path=path)) == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("words", ["{ version }", "query Q($a: Int) { x(a: $a) ...F } fragment F on T { y }"])
def test_a_query_by_get_is_allowed(words: str) -> None:
    assert status(request(query=urlencode({"query": words}))) is None


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain; application/json",
        "text/plain;charset=application/json",
        "application/jsonp",
        "application/graphql",
        "",
    ],
)
def test_a_content_type_that_a_form_can_send_is_refused(content_type: str) -> None:
    asked = request(("content-type", content_type), method="POST")
    assert status(asked) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert status(request(method="POST")) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert status(request(JSON, ("content-type", content_type), method="POST")) == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_a_client_that_is_not_a_browser_may_change_data() -> None:
    assert status(request(("content-type", "Application/JSON; charset=utf-8"), method="POST")) is None


HOST_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40)
KNOWN = {"localhost", "kmdb.example.com", "kmdb.internal", "10.0.0.5"}


@given(HOST_TEXT.filter(lambda host: host.strip().lower().partition(":")[0] not in KNOWN and "127." not in host))
def test_every_other_host_is_refused(host: str) -> None:
    if "[" not in host:
        assert status(request(host=host), PROXIED) == HTTPStatus.MISDIRECTED_REQUEST


@given(HOST_TEXT, st.sampled_from(["GET", "POST"]))
def test_every_other_origin_is_refused(origin: str, method: str) -> None:
    own = origin.strip().lower().removesuffix(":80") == "http://127.0.0.1:3000"
    assert own or status(request(("origin", origin), JSON, method=method)) == HTTPStatus.FORBIDDEN


@given(st.text(max_size=30), st.sampled_from(["mutation", "subscription"]), st.text(max_size=30))
def test_no_wrapping_of_a_mutation_is_allowed_by_get(before: str, operation: str, after: str) -> None:
    query = urlencode({"query": f"{before}\n{operation} {{ x }}\n{after}"})
    assert status(request(query=query)) == HTTPStatus.FORBIDDEN or '"' in before


def answered(scope: Message) -> list[Message]:
    """What a server is told to send for a request, with an application behind the door that says hello."""
    sent: list[Message] = []

    async def hello(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(CsrfMiddleware(hello, ALONE)(scope, receive, send))
    return sent


def scope(kind: str, *headers: tuple[bytes, bytes]) -> Message:
    every = [(b"host", HERE.encode()), *headers]
    method = {"method": "POST"} if kind == "http" else {}
    return {"type": kind, **method, "path": "/graphql", "query_string": b"", "headers": every}


def test_a_refusal_names_the_setting_and_has_no_control_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, body = answered(scope("http", (b"Origin", b"http://evil\x1b[2J.example")))
    assert start["status"] == HTTPStatus.FORBIDDEN
    assert dict(start["headers"])[b"content-type"].startswith(b"text/plain")
    for said in (body["body"].decode(), caplog.text):
        assert "KMDB_UI_URL" in said
        assert "\x1b" not in said


def test_an_allowed_response_forbids_framing() -> None:
    start, body = answered(scope("http", (b"content-type", b"application/json")))
    assert (start["status"], body["body"]) == (HTTPStatus.OK, b"hello")
    assert (b"x-frame-options", b"SAMEORIGIN") in start["headers"]


def test_a_websocket_of_a_foreign_page_is_closed_before_it_opens() -> None:
    assert [message["type"] for message in answered(scope("websocket", (b"origin", b"http://evil.example")))] == [
        "websocket.close"
    ]
    assert len(answered(scope("websocket", (b"origin", b"http://127.0.0.1:3000")))) == 2


def test_events_that_are_not_requests_pass() -> None:
    assert json.dumps(answered({"type": "lifespan"})[1]["body"].decode()) == '"hello"'


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("value", ["http://kmdb.internal", "a/b", "*", "a:b", "a:123456"])
def test_an_invalid_host_in_the_settings_is_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMDB_UI_HOSTS", value)
    with pytest.raises(SettingsError, match=r"KMDB_UI_HOSTS is .*expected HOST or HOST:PORT"):
        load_settings()

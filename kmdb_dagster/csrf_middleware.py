"""Refuse requests that another site sends to Dagster's UI through a browser: an ASGI middleware and its rules.

Dagster's webserver has no log-in, runs GraphQL mutations by GET, and checks neither Host nor Origin. Without these
rules an image on any web page can start a job. `refusal` holds the rules and is pure; `CsrfMiddleware` applies them.
"""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from kmdb_dagster.output_escaping import for_terminal_line

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

log = logging.getLogger("kmdb.csrf")

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>\d{1,5}))?", re.ASCII)
"""A Host header in lower case."""
ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]+)", re.ASCII)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OWN_SITES = ("same-origin", "none")
"""Values of Sec-Fetch-Site for requests of the UI itself, and for addresses that a user types."""
MAX_SHOWN_CHARACTERS = 100
WEBSOCKET_POLICY_VIOLATION = 1008


class Request(NamedTuple):
    """The parts of a request that the rules check."""

    method: str
    """The HTTP method; GET for a WebSocket."""
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    """Names in lower case. A name may occur more than once."""

    def values(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value.strip() for key, value in self.headers if key == name]


class Names(NamedTuple):
    """The names of this UI, in addition to those of this machine."""

    hosts: frozenset[str]
    """Host names without a port."""
    origins: frozenset[str]
    """Origins of the UI where a proxy changes the Host header."""


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    reason: str


def names_of(ui_url: str, ui_hosts: Iterable[str]) -> Names:
    """Return the names of the UI from KMDB_UI_URL and KMDB_UI_HOSTS."""
    address = urlsplit(ui_url.lower())
    origins = [f"{address.scheme}://{address.netloc}"]
    origins += [f"{scheme}://{host.lower()}" for host in ui_hosts for scheme in DEFAULT_PORTS]
    named = {origin: _name(origin.partition("://")[2]) for origin in origins}
    # A page on another port of this machine is another site, so loopback names add no origin.
    outside = {origin: name for origin, name in named.items() if name and not _is_loopback(name)}
    return Names(frozenset(outside.values()), frozenset(map(_without_default_port, outside)))


def refusal(request: Request, names: Names) -> Refusal | None:
    """Return why a request is refused, None if it is allowed."""
    for rule in (_unknown_host, _foreign_page, _change_by_get, _body_that_a_form_can_send):
        found = rule(request, names)
        if found:
            return found
    return None


def _unknown_host(request: Request, names: Names) -> Refusal | None:
    """Refuse DNS rebinding: a name of another site that resolves to this machine."""
    hosts = request.values("host")
    name = _name(hosts[0].lower()) if len(hosts) == 1 else ""
    if name and (name in names.hosts or _is_loopback(name)):
        return None
    return Refusal(
        HTTPStatus.MISDIRECTED_REQUEST,
        f"The UI is not known as {_shown(hosts)}. If that is its name, add it to KMDB_UI_HOSTS (or set KMDB_UI_URL) "
        "and restart the webserver.",
    )


def _foreign_page(request: Request, names: Names) -> Refusal | None:
    """Refuse requests from a page of another site, or of another port of this machine."""
    host = request.values("host")[0].lower()
    foreign = [origin for origin in request.values("origin") if not _is_own(origin.lower(), host, names)]
    if foreign:
        return Refusal(
            HTTPStatus.FORBIDDEN,
            f"The request comes from a page of {_shown(foreign)}, not from the UI. If that is the UI's own address, "
            "set KMDB_UI_URL to it (or add its host to KMDB_UI_HOSTS) and restart the webserver.",
        )
    if set(request.values("sec-fetch-site")) <= set(OWN_SITES) or _is_navigation(request):
        return None
    return Refusal(
        HTTPStatus.FORBIDDEN,
        "The request comes from a page of another site. Open the UI's address in a tab of its own. If a proxy serves "
        "the UI, set KMDB_UI_URL to the address that the browser shows.",
    )


def _change_by_get(request: Request, _names: Names) -> Refusal | None:
    """Refuse a GraphQL mutation in a URL, which Dagster would run."""
    if request.method == "POST" or not request.path.rstrip("/").endswith("/graphql"):
        return None
    queries = [value for name, value in parse_qsl(request.query, keep_blank_values=True) if name == "query"]
    if all(map(_only_reads, queries)):
        return None
    return Refusal(
        HTTPStatus.FORBIDDEN,
        "Only GraphQL queries may be sent by GET. Send a mutation by POST, with Content-Type: application/json.",
    )


def _body_that_a_form_can_send(request: Request, _names: Names) -> Refusal | None:
    """Refuse a change with a body that is not declared as JSON: HTML forms of other sites can send other types."""
    if request.method in SAFE_METHODS:
        return None
    types = [value.partition(";")[0].strip().lower() for value in request.values("content-type")]
    if types == ["application/json"]:
        return None
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the request with Content-Type: application/json.")


def _is_own(origin: str, host: str, names: Names) -> bool:
    found = ORIGIN.fullmatch(origin)
    if not found:
        return False
    plain = _without_default_port(origin)
    return plain in names.origins or plain == _without_default_port(f"{found['scheme']}://{host}")


def _is_navigation(request: Request) -> bool:
    """Tell whether a user follows a link to the UI, for example from an alert."""
    return (
        request.method == "GET"
        and request.values("sec-fetch-mode") == ["navigate"]
        and request.values("sec-fetch-dest") == ["document"]
    )


def _only_reads(query: str) -> bool:
    try:
        definitions = parse(query, no_location=True).definitions
    except (GraphQLError, RecursionError):
        return False
    operations = [item.operation for item in definitions if isinstance(item, OperationDefinitionNode)]
    return set(operations) <= {OperationType.QUERY}


def _name(host: str) -> str:
    found = HOST.fullmatch(host)
    return found["name"] if found else ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(DEFAULT_PORTS[origin.partition(":")[0]])


def _shown(values: Sequence[str]) -> str:
    shown = ", ".join(values) or "(no name)"
    return for_terminal_line(shown)[:MAX_SHOWN_CHARACTERS]


class CsrfMiddleware:
    """ASGI middleware that applies `refusal`, and forbids other sites to show the UI in a frame.

    Args:
        application: Dagster's webserver.
        names: The names of the UI.
    """

    def __init__(self, application: Application, names: Names) -> None:
        self._application = application
        self._names = names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it to the application."""
        refused = refusal(_request(scope), self._names) if scope["type"] in {"http", "websocket"} else None
        if refused is None:
            await self._application(scope, receive, _in_no_foreign_frame(send))
            return
        log.warning("Refused a request (%d). %s", refused.status, refused.reason)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": WEBSOCKET_POLICY_VIOLATION})
        else:
            await _answer(send, refused)


def _request(scope: Message) -> Request:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    return Request(scope.get("method", "GET"), scope["path"], scope["query_string"].decode("latin-1"), headers)


async def _answer(send: Send, refused: Refusal) -> None:
    body = f"Refused. {refused.reason}\n".encode()
    headers = {
        b"content-type": b"text/plain; charset=utf-8",
        b"content-length": str(len(body)).encode(),
        b"x-content-type-options": b"nosniff",
    }
    await send({"type": "http.response.start", "status": int(refused.status), "headers": list(headers.items())})
    await send({"type": "http.response.body", "body": body})


def _in_no_foreign_frame(send: Send) -> Send:
    async def framed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-frame-options", b"SAMEORIGIN")]
        await send(message)

    return framed

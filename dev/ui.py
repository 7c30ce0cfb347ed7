"""`dev/ui`: run Dagster's UI on the demo in the foreground, and start the servers that it needs."""

import http.client
import signal
import sys
import time
from types import FrameType

from rich.console import Console
from rich.markup import escape

from dev import site
from dev.demo import prepare
from dev.processes import DevError, Process, alive, end, tail, wait_until
from dev.servers import HOST

PATIENCE = 120.0
"""Seconds until the UI must answer."""


def main() -> int:
    """Run the UI."""
    console = Console(highlight=False)
    # End the webserver at any signal. A background job of a shell ignores SIGINT, so restore it.
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupted)
    try:
        _serve(console)
    except DevError as error:
        console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nThe UI has ended. The servers and Dagster's daemon go on: [bold]dev/stop[/bold] ends them.")
    return 0


def _serve(console: Console) -> None:
    prepared = prepare(console)
    webserver, port = site.start_webserver(prepared.group, prepared.settings)
    try:
        wait_until(lambda: _answers(port) or not alive(webserver), PATIENCE)
        if not alive(webserver) or not _answers(port):
            log = prepared.group.log(site.WEBSERVER)
            raise DevError(f"Dagster's UI does not start. The end of {log}:\n{tail(log)}")
        console.print(f"\n[bold]http://{HOST}:{port}[/bold]    Ctrl-C ends the UI.")
        _watch(webserver)
    finally:
        end(webserver)
    console.print("The UI was ended from elsewhere.")


def _watch(webserver: Process) -> None:
    while alive(webserver):
        time.sleep(0.5)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""The commands that serve Dagster's UI: ``ui`` with all that it needs, ``webserver`` alone."""

import os
import sys
from pathlib import Path

import click

import kmdb_dagster
from kmdb_dagster.settings import load_settings


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port on 127.0.0.1.")
def ui(port: int) -> None:
    """Open Dagster's UI, with the daemon that runs imports. Ctrl-C ends both.

    It listens on this machine only: Dagster has no log-in of its own. Requests that pages of other sites send are
    refused.

    \b
    Example:
        DAGSTER_HOME=$HOME/kmdb kmdb ui
    """
    load_settings()
    # Compute logs may hold personal data: files of this process and its children are for this user only.
    os.umask(0o077)
    home = os.environ.get("DAGSTER_HOME")
    if home:
        # Dagster wants it absolute.
        os.environ["DAGSTER_HOME"] = str(Path(home).resolve())
        configure(Path(home))
    click.echo(f"Dagster's UI: http://127.0.0.1:{port}")
    arguments = [
        "kmdb_dagster.dagster_ext.webserver",
        "dev",
        "-w",
        str(_shipped("workspace.yaml")),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - our own arguments


# `-h` is the host, as in `dagster-webserver`.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF dagster-webserver]")
def webserver(options: tuple[str, ...]) -> None:
    """Serve Dagster's UI alone, with the OPTIONS of `dagster-webserver`. Use it wherever that is documented.

    Requests that pages of other sites send are refused, and so are names other than KMDB_UI_URL and KMDB_UI_HOSTS.

    \b
    Example:
        kmdb webserver -h 127.0.0.1 -p 3000 -w workspace.yaml
    """
    from kmdb_dagster.dagster_ext.webserver import serve

    serve(options)


def configure(home: Path) -> None:
    """Give a new DAGSTER_HOME the configuration that comes with the package, keeping the history in it."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = home / "dagster.yaml"
    if not target.exists():
        shipped = _shipped("dagster.yaml").read_text()
        target.write_text(shipped.replace("base_dir: var/dagster", f"base_dir: {home.resolve()}"))


def _shipped(name: str) -> Path:
    """A configuration file that comes with the package; in a checkout it stands at the top."""
    package = Path(kmdb_dagster.__file__).parent
    return next(path for path in (package / name, package.parent / name) if path.exists())


COMMANDS = (ui, webserver)

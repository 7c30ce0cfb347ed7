"""Commands that serve Dagster's UI: ``ui`` with the daemon, ``webserver`` alone."""

import os
import sys
from pathlib import Path

import click

import kmdb_dagster
from kmdb_dagster.settings import load_settings


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port on 127.0.0.1.")
def ui(port: int) -> None:
    """Start Dagster's UI, and the daemon that runs imports.

    It listens on 127.0.0.1 only, because Dagster has no login. Requests from pages of other sites are refused. Ctrl-C
    stops UI and daemon.

    \b
    Example:
        $ DAGSTER_HOME=$HOME/kmdb kmdb ui
        Dagster's UI: http://127.0.0.1:3000
    """
    load_settings()
    # Compute logs may hold personal data, so only this user may read the files of this process and its children.
    os.umask(0o077)
    home = os.environ.get("DAGSTER_HOME")
    if home:
        # Dagster requires an absolute path.
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
    """Serve Dagster's UI alone, in place of `dagster-webserver`.

    Takes the options of `dagster-webserver`. Requests from pages of other sites are refused, and requests for host
    names other than those of KMDB_UI_URL and KMDB_UI_HOSTS.

    \b
    Example:
        $ kmdb webserver -h 127.0.0.1 -p 3000 -w workspace.yaml
    """
    from kmdb_dagster.dagster_ext.webserver import serve

    serve(options)


def configure(home: Path) -> None:
    """Create DAGSTER_HOME with the dagster.yaml of the package, and its history inside. Keep an existing file."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = home / "dagster.yaml"
    if not target.exists():
        shipped = _shipped("dagster.yaml").read_text()
        target.write_text(shipped.replace("base_dir: var/dagster", f"base_dir: {home.resolve()}"))


def _shipped(name: str) -> Path:
    """Return the path of a configuration file of the package; in a checkout, it is in the top folder."""
    package = Path(kmdb_dagster.__file__).parent
    return next(path for path in (package / name, package.parent / name) if path.exists())


COMMANDS = (ui, webserver)

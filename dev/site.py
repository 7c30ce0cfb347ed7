"""The installation of the demo: its folder, its settings, and each step of its setup. Every step is idempotent.

All that runs here runs with the demo's settings only, in the demo's folder: the ``.env`` and the variables of
the caller may name a real bucket and a real database, and must have no effect.
"""

import csv
import hashlib
import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import boto3
from rich.progress import track
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from dev.fleet import Fleet
from dev.processes import DevError, Process, free_port
from dev.servers import HOST, MARIADB, REDIS, S3, Server

REVISIONS = 30
LINES = 2000
BUCKET = "km-sample"

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "demo"
WORKSPACE = ROOT / "workspace.yaml"
SAMPLE = FOLDER / "sample"
SETTINGS = FOLDER / "settings.env"
DAGSTER_HOME = FOLDER / "dagster"
DAEMON = "dagster-daemon"
WEBSERVER = "dagster-webserver"

NOT_OURS = ("AWS_", "DAGSTER_", "KMDB_", "DATABASE_URL")
"""Variables that start like this are the user's, and kept away from the demo."""
ALERTS = "KMDB_ALERT_URLS"
"""The only one of them that the demo takes: to see how alerts arrive."""


class Servers(NamedTuple):
    """The servers that the demo uses."""

    mariadb: Server
    redis: Server
    s3: Server


def fleet() -> Fleet:
    """Return the processes of the demo."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Fleet(FOLDER)


def start_servers(group: Fleet) -> Servers:
    """Start MariaDB, Redis and S3."""
    return Servers(group.server(MARIADB), group.server(REDIS), group.server(S3))


def make_sample(more: int = 0) -> int:
    """Write the sample bucket as files, with ``more`` revisions than there are. Returns the last revision.

    A revision is a function of its number, so those that are there stay the same.
    """
    there = max(sample_revisions(), default=0)
    last = (there or REVISIONS) + more
    if last > there:
        fresh, old = SAMPLE.with_suffix(".new"), SAMPLE.with_suffix(".old")
        for folder in (fresh, old):
            shutil.rmtree(folder, ignore_errors=True)
        run(["kmdb", "sample", "--revisions", str(last), "--lines", str(LINES), str(fresh)], {})
        if SAMPLE.exists():
            SAMPLE.rename(old)
        fresh.rename(SAMPLE)
        shutil.rmtree(old, ignore_errors=True)
    return last


def sample_revisions() -> set[int]:
    """Return the numbers of the sample's revisions."""
    return {int(path.stem) for path in (SAMPLE / "revisions").glob("*.json")}


def write_settings(servers: Servers) -> dict[str, str]:
    """Write the settings of the demo, also for `kmdb` by hand."""
    settings = _connections(servers) | _partitions() | _dagster(servers) | _alerts()
    SETTINGS.touch(mode=0o600)  # the URL of an alert channel may hold a password
    SETTINGS.write_text(
        "# The demo's settings. In a shell, `set -a; . var/demo/settings.env`; then `.venv/bin/kmdb --help`.\n"
        + "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    )
    return settings


def upload(s3: Server) -> int:
    """Upload the sample into the bucket, which the S3 server holds in memory. Return the number of new objects."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106 - our own server takes anything
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    there = {item["Key"]: item["ETag"].strip('"') for page in pages for item in page.get("Contents", [])}
    files = {path.relative_to(SAMPLE).as_posix(): path for path in SAMPLE.rglob("*") if path.is_file()}
    wanted = [key for key, path in files.items() if there.get(key) != _etag(path)]
    for key in track(wanted, description="   uploading", transient=True, disable=not wanted):
        client.put_object(Bucket=BUCKET, Key=key, Body=files[key].read_bytes())
    return len(wanted)


def create_databases(mariadb: Server) -> None:
    """Create one database for the data and one for Dagster."""
    with engine(mariadb, "").connect() as connection:
        for name in ("kmdb", "dagster"):
            connection.execute(text(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4"))


def engine(mariadb: Server, database: str = "kmdb") -> Engine:
    """Return an engine for the demo's MariaDB."""
    url = mariadb.url.replace("mysql://", "mysql+mysqldb://")
    return create_engine(f"{url}/{database}?charset=utf8mb4", poolclass=NullPool)


def migrate(settings: Mapping[str, str]) -> None:
    """Create the tables and their time partitions."""
    run(["kmdb", "migrate"], settings)
    # If the port of the demo's S3 was taken, it has another one, and the database sees another bucket.
    run(["kmdb", "confirm", "bucket", "--yes"], settings)
    run(["kmdb", "partition"], settings)


def prepare_dagster(settings: Mapping[str, str]) -> None:
    """Write Dagster's configuration and create its tables.

    The tables are made before anything of Dagster runs: several processes that find none make them all at once,
    and some of these die of it.
    """
    DAGSTER_HOME.mkdir(exist_ok=True, mode=0o700)
    shutil.copyfile(ROOT / "deploy" / "mysql" / "dagster.yaml", DAGSTER_HOME / "dagster.yaml")
    done = DAGSTER_HOME / ".migrated"
    constraints = (ROOT / "constraints.txt").read_text()  # another Dagster may want other tables
    if done.exists() and done.read_text() == _digest(constraints):
        return
    run(["dagster", "instance", "migrate"], settings)
    done.write_text(_digest(constraints))


def start_daemon(group: Fleet, settings: Mapping[str, str]) -> Process:
    """Start Dagster's daemon, whose sensor finds the revisions and requests runs."""
    command = _there([_tool(DAEMON), "run", "-w", str(WORKSPACE)])
    return group.program(DAEMON, command, environment(settings), stamp=_stamp(settings))


def start_webserver(group: Fleet, settings: Mapping[str, str]) -> tuple[Process, int]:
    """Start Dagster's UI. Return its port."""
    entry = group.running(WEBSERVER)
    port = entry.port if entry else free_port(3000)
    where = ["-h", HOST, "-p", str(port), "-w", str(WORKSPACE)]
    command = _there([_tool("kmdb"), "webserver", *where])
    return group.program(WEBSERVER, command, environment(settings), stamp=_stamp(settings), port=port), port


def run_job(name: str, settings: Mapping[str, str]) -> None:
    """Run a job of Dagster to its end, in a process of its own.

    Raises:
        DevError: it failed.
    """
    run(["dagster", "job", "execute", "-m", "kmdb_dagster.definitions", "-j", name], settings)


def run(command: Sequence[str], settings: Mapping[str, str]) -> None:
    """Run a program of the environment with the demo's settings. Print its output only if it fails.

    Raises:
        DevError: it failed; the message ends with what it said.
    """
    program = [_tool(command[0]), *command[1:]]
    done = subprocess.run(program, env=environment(settings), cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-4000:]
        raise DevError(f"`{shlex.join(command)}` failed with code {done.returncode}:\n{said}")


def leave_the_user_out() -> None:
    """Remove the user's own settings of AWS, Dagster and kmdb from this process, except for the alert channels."""
    for name in [name for name in os.environ if name.startswith(NOT_OURS) and name != ALERTS]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # An HTTP proxy cannot reach 127.0.0.1.
        "NO_PROXY": HOST,
        "no_proxy": HOST,
    }


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process of the demo."""
    return {**os.environ, **settings}


def _connections(servers: Servers) -> dict[str, str]:
    return {
        "DATABASE_URL": f"{servers.mariadb.url}/kmdb",
        "KMDB_REDIS_URL": servers.redis.url,
        "AWS_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL": servers.s3.url,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
        "KMDB_DATA_DIR": str(FOLDER / "data"),
        "KMDB_REVISIONS_PER_RUN": "10",
        # What `dev/demo --more` adds is found at once, not by the hourly listing.
        "KMDB_REVISION_LOOKAHEAD": "50",
        "KMDB_QUESTIONS": str(ROOT / "dev" / "questions.toml"),
    }


def _alerts() -> dict[str, str]:
    return {ALERTS: os.environ[ALERTS]} if os.environ.get(ALERTS) else {}


def _partitions() -> dict[str, str]:
    """Return settings for about ten time partitions over the days of the sample."""
    with (SAMPLE / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = datetime.fromtimestamp(min(int(row["min_timestamp"]) for row in rows), UTC).date()
    last = datetime.fromtimestamp(max(int(row["max_timestamp"]) for row in rows), UTC).date()
    return {
        "KMDB_MIN_DATE": str(first),
        "KMDB_MAX_DATE": str(last + timedelta(days=1)),
        "KMDB_DAYS_PER_PARTITION": str(max(1, math.ceil((last - first).days / 10))),
    }


def _dagster(servers: Servers) -> dict[str, str]:
    return {
        "DAGSTER_HOME": str(DAGSTER_HOME),
        "DAGSTER_MYSQL_URL": f"mysql+mysqldb://root@{HOST}:{servers.mariadb.port}/dagster?charset=utf8mb4",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def _tool(name: str) -> str:
    """Return the path of a program of this Python environment."""
    return str(Path(sys.executable).parent / name)


def _there(command: Sequence[str]) -> list[str]:
    """Return a command that runs in the demo's folder, because Dagster reads the ``.env`` of its working directory."""
    return ["env", "-C", str(FOLDER), *command]


def _stamp(settings: Mapping[str, str]) -> str:
    """Return a digest of the settings and the code, to restart processes after a change."""
    changed = max(path.stat().st_mtime_ns for path in (ROOT / "kmdb_dagster").rglob("*.py"))
    return _digest(f"{sorted(settings.items())} {changed}")


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def _etag(path: Path) -> str:
    """Return the ETag that S3 gives to an object uploaded in one part."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()

"""The grants in docs/how-to/set-up.md are sufficient, and each of them is necessary."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from sqlalchemy import create_engine, inspect

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import confirm_bucket
from kmdb_dagster.warehouse.ledger import status
from kmdb_dagster.warehouse.maintenance import flush
from testing import databases
from testing.buckets import FolderOfRevisions, alias, event
from testing.documents import section
from testing.revisions import one, rows
from testing.runs import failure_of, import_range, run_job
from testing.steps import load, parse, resolve
from testing.terminal import Terminal

USERS = ("kmdb_admin", "kmdb_analyst", "kmdb")
PASSWORD = "'%40\"%25"  # noqa: S105 - opens nothing; it is '@"% in a URL
LINES = (event("came", "bob", plan="pro"), alias("bob", "anna"), b"nonsense\n")


class Rights:
    """The users of the document, on the server of the tests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._name = url.rpartition("/")[2]
        self._engine = create_engine(database_url(url), isolation_level="AUTOCOMMIT")
        self.statements = re.findall(
            r"^(?:CREATE USER|GRANT) .*;$", section("docs/how-to/set-up.md", "The database"), re.MULTILINE
        )

    def give(self, *users: str) -> None:
        """Make these users, with their rights."""
        for statement in self.statements:
            if any(f"'{user}'@" in statement for user in users):
                self.run(statement)

    def run(self, statement: str) -> None:
        """A statement of the document: its names become those of the test."""
        ours = re.sub(r"'(kmdb\w*)'@", rf"'\1_{os.getpid()}'@", statement).replace("kmdb.", f"{self._name}.")
        with self._engine.connect() as connection:
            connection.exec_driver_sql(ours.replace("…", "''@\"%").replace("%", "%%"))

    def as_user(self, user: str) -> str:
        """The database, for this user."""
        return self.url.replace("root@", f"{user}_{os.getpid()}:{PASSWORD}@")

    def end(self) -> None:
        """Take all away."""
        for user in USERS:
            self.run(f"DROP USER IF EXISTS '{user}'@'%'")
        self._engine.dispose()


@pytest.fixture
def rights(empty_database: str) -> Iterator[Rights]:
    """The users, with a database that an admin has made the tables of."""
    found = Rights(empty_database)
    try:
        found.give("kmdb_admin", "kmdb")
        databases.make_tables(found.as_user("kmdb_admin"))
        found.give("kmdb_analyst")
        yield found
    finally:
        found.end()


@pytest.fixture
def database(rights: Rights) -> str:
    """The database, as who imports sees it."""
    return rights.as_user("kmdb")


DATES = {"KMDB_MIN_DATE": "2014-04-01", "KMDB_MAX_DATE": "2014-06-01"}


def test_each_database_user_has_its_grants_and_no_others(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    rights: Rights,
    warehouse: Warehouse,
) -> None:
    terminal = Terminal(bucket.folder)
    admin = terminal.kmdb("partition", DATABASE_URL=rights.as_user("kmdb_admin"), **DATES)
    assert "events: 10 partitions added" in admin.out
    bucket.put(1, *LINES)
    assert import_range(instance, kmdb, 1, 1).success
    bucket.put(1, *LINES, event("came"))
    assert import_range(instance, kmdb, 1, 1).success
    assert status.read(warehouse.engine, numeric_apart=False).totals.events == 2
    assert run_job(instance, "realias").success
    assert run_job(instance, "check_everything").success
    with pytest.raises(PermanentError, match="lacks a right: see the grants in docs"):
        flush.flush(warehouse.engine)
    refused = terminal.kmdb("partition", DATABASE_URL=rights.as_user("kmdb"), KMDB_MAX_DATE="2015-01-01")
    assert "this user lacks a right: see the grants in docs/how-to/set-up.md" in refused.err
    _look_as_analyst(rights)
    request_erasure(warehouse.engine, [b"0" * 32])
    assert run_job(instance, "forget").success
    opened = Warehouse(database_url(rights.as_user("kmdb_admin")))
    flush.flush(opened.engine)
    opened.close()


def _look_as_analyst(rights: Rights) -> None:
    analyst = create_engine(database_url(rights.as_user("kmdb_analyst")))
    seen = rows(analyst, "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    states = ["changed_days", "columnar_copy", "map_state", "warehouse_state"]
    others = ["alembic_version", "forgotten_identities", "revisions", *states]
    facts_and_names = ["aliases", "events", "keys", "properties", "user_map", "users"]
    assert sorted(name for (name,) in seen) == sorted([*facts_and_names, *others])
    assert (
        one(analyst, "SELECT COUNT(*) FROM events e JOIN `keys` k ON k.id = e.n JOIN users u ON u.id = e.user_id") == 2
    )
    for statement in ("SELECT 1 FROM rejected_lines", "SELECT error FROM revisions", "DELETE FROM events WHERE id = 1"):
        with pytest.raises(Exception, match="command denied"):
            rows(analyst, statement)
    analyst.dispose()


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "trend", "--last", "1d"],
        ["ask", "paths", "came"],
        ["view", "list"],
        ["ask", "--people", "all.csv", "trend"],
    ],
    ids=" ".join,
)
def test_an_analyst_asks_questions_and_lists_views(
    kmdb: Kmdb, bucket: FolderOfRevisions, rights: Rights, tmp_path: Path, arguments: list[str]
) -> None:
    bucket.put(1, *LINES)
    bring_in(kmdb, 1)
    ended = Terminal(tmp_path).kmdb(*arguments, DATABASE_URL=rights.as_user("kmdb_analyst"))
    assert ended.code == 0, ended.err


def test_an_analyst_reads_a_current_copy_and_else_the_tables(
    kmdb: Kmdb, bucket: FolderOfRevisions, rights: Rights, tmp_path: Path
) -> None:
    bucket.put(1, *LINES)
    bring_in(kmdb, 1)
    terminal, lake = Terminal(tmp_path), {"KMDB_DATA_DIR": str(tmp_path / "lake")}
    analyst = {**lake, "DATABASE_URL": rights.as_user("kmdb_analyst")}
    refreshed = terminal.kmdb("columnar", "refresh", **lake, DATABASE_URL=rights.as_user("kmdb"))
    assert refreshed.code == 0, refreshed.err
    assert "Read from the columnar copy" in terminal.kmdb("ask", "trend", **analyst).err
    rights.run("REVOKE SELECT ON kmdb.changed_days FROM 'kmdb_analyst'@'%';")
    assert "Read from the tables" in terminal.kmdb("ask", "trend", **analyst).err


def test_a_tool_that_an_analyst_connects_sees_the_columns_of_views(rights: Rights, tmp_path: Path) -> None:
    Terminal(tmp_path).kmdb("view", "people", DATABASE_URL=rights.as_user("kmdb_admin"))
    (grant,) = re.findall(r"^GRANT .*;$", section("docs/how-to/connect-tools.md", "Connecting"), re.MULTILINE)
    rights.run(grant.replace("'analyst'", "'kmdb_analyst'"))
    analyst = create_engine(database_url(rights.as_user("kmdb_analyst")))
    columns = [column["name"] for column in inspect(analyst).get_columns("people")]
    assert columns[:2] == ["user_id", "person"]
    with pytest.raises(Exception, match="command denied"):
        rows(analyst, "DROP VIEW people")
    analyst.dispose()


@pytest.mark.parametrize("right", ["SELECT", "INSERT", "UPDATE", "DELETE"])
def test_every_grant_of_the_import_user_is_necessary(
    right: str, kmdb: Kmdb, bucket: FolderOfRevisions, rights: Rights
) -> None:
    bucket.put(1, *LINES)
    bring_in(kmdb, 1)
    bucket.put(1, *LINES, event("came"))
    rights.run(f"REVOKE {right} ON kmdb.* FROM 'kmdb'@'%';")
    with pytest.raises(PermanentError, match="lacks a right"):
        bring_in(kmdb, 1)


def bring_in(kmdb: Kmdb, revision: int) -> None:
    with kmdb.pipeline() as opened:
        for step in (parse, resolve, load):
            step(opened, revision)


class GuardedS3:
    """An S3 that lets a user do only what the document allows."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._policy = re.findall(r"```json\n(.*?)```", section("docs/how-to/set-up.md", "The bucket"), re.DOTALL)[0]

    def client(self, kind: Any) -> Any:
        """As one who may do everything, before anything is guarded."""
        keys = {"aws_access_key_id": "root", "aws_secret_access_key": "x"}
        make: Any = boto3.client  # its types want the name of a service spelled out
        return make(kind, endpoint_url=self.url, region_name="us-east-1", **keys)

    def credentials(self) -> dict[str, str]:
        """The keys of a user with just the policy."""
        iam = self.client("iam")
        iam.create_user(UserName="kmdb")
        iam.put_user_policy(UserName="kmdb", PolicyName="read", PolicyDocument=json.dumps(json.loads(self._policy)))
        made = iam.create_access_key(UserName="kmdb")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}

    def guard(self, after: float) -> None:
        """From now on (0), or never again (inf), look at rights."""
        where = f"{self.url}/moto-api/reset-auth"
        request = urllib.request.Request(where, str(after).encode(), {"Content-Type": "text/plain"})  # noqa: S310 - ours
        with urllib.request.urlopen(request):  # noqa: S310 - as above
            pass


@pytest.fixture
def guarded(s3_url: str) -> Iterator[GuardedS3]:
    """S3 as the document has it."""
    found = GuardedS3(s3_url)
    yield found
    found.guard(float("inf"))


def test_the_documented_policy_suffices_to_import_and_allows_no_write(
    instance: dg.DagsterInstance, kmdb: Kmdb, guarded: GuardedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, name = guarded.client("s3"), "acme-kissmetrics"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="revisions/1.json", Body=b"".join(LINES))
    credentials = guarded.credentials()
    monkeypatch.delenv("KMDB_LOCAL_BUCKET")
    for variable, value in {"AWS_ENDPOINT_URL": guarded.url, "AWS_BUCKET": name, **credentials}.items():
        monkeypatch.setenv(variable, value)
    guarded.guard(0)
    assert [found.key for found in kmdb.bucket().objects()] == ["revisions/1.json"]
    # 2 was never written: that is no failure.
    assert import_range(instance, kmdb, 1, 2).success
    monkeypatch.setenv("AWS_BUCKET", "another")
    with kmdb.warehouse() as warehouse:
        confirm_bucket(warehouse.engine, kmdb.bucket().location)
    assert "s3:ListBucket on the bucket" in failure_of(import_range(instance, kmdb, 3, 3))
    with pytest.raises(Exception, match="AccessDenied"):
        kmdb.bucket()._bucket._client.put_object(Bucket=name, Key="x", Body=b"")  # type: ignore[attr-defined]  # noqa: SLF001

"""Hostile text in files and settings is imported unchanged, never executed, and held in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.partition_registry import revisions_of
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import KmdbError, PermanentError
from kmdb_dagster.km_export.reader import MAX_LINE_BYTES, read_lines
from kmdb_dagster.km_export.records import Reason, Rejected
from kmdb_dagster.settings import database_url, load_settings
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions, T, line
from testing.revisions import rows
from testing.runs import import_range
from testing.terminal import Terminal

HOSTILE = (
    "'; DROP TABLE events; -- ",
    '" OR ""=" \\',
    "\\'; SELECT 1 /*",
    "%s %(x)s %n %%",
    "{0} {x.__class__} {{7*7}} ${HOME} $(reboot) `reboot`",
    ":name ?",
    "\\N",
    "a\tb\nc\rd\x1ae",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m \x85 \x7f",
    "\u202egnp.exe \u2066 \u2028",
    "[red]x[/red] [link=file:///etc/passwd]y[/]",
    "<script>alert(1)</script> ![x](http://x) | `x`",
    "NULL",
    "\U0001f600 \ufffd \ufeff",
    "x" * 1_000_000,
)
TERMINAL_ORDERS = ("\x1b", "\x07", "\x9b", "\x7f", "\u202e", "\u2066")


def test_hostile_text_is_imported_unchanged_and_never_shown(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse, database: str
) -> None:
    lines = [line({"_n": text, "_p": text, "_t": T, text: text}) for text in HOSTILE]
    lines += [line({"_p": text, "_p2": f"{text}2", "_t": T}) for text in HOSTILE]
    lines += [line({"_p": text, "_t": text}) for text in HOSTILE]
    bucket.put(1, *lines)
    result = import_range(instance, kmdb, 1, 1)
    assert result.success
    facts = (
        "SELECT k.string, u.name, q.string, p.value FROM events e JOIN `keys` k ON k.id = e.n "
        "JOIN users u ON u.id = e.identity_id JOIN properties p ON p.event_id = e.id JOIN `keys` q ON q.id = p.`key` "
        "ORDER BY e.id"
    )
    assert rows(warehouse.engine, facts) == [(text,) * 4 for text in HOSTILE]
    aliases = rows(warehouse.engine, "SELECT name1, name2 FROM aliases ORDER BY id")
    assert aliases == [(text, f"{text}2") for text in HOSTILE]
    raw = rows(warehouse.engine, "SELECT raw FROM rejected_lines ORDER BY line")
    assert [content for (content,) in raw] == [content.rstrip(b"\n") for content in lines[-len(HOSTILE) :]]
    told = "".join(str(event) for event in result.all_events)
    status = Terminal(bucket.folder).kmdb("status", DATABASE_URL=database)
    assert status.code == 0
    for shown in (told, status.out):
        assert not any(order in shown for order in (*TERMINAL_ORDERS, "DROP TABLE", "[red]", "<script>"))


def test_inspect_escapes_control_sequences_and_loses_nothing(tmp_path: Path) -> None:
    content = b"".join(line({"_n": text, "_p": text, "_t": T, text: text}) for text in HOSTILE)
    ended = Terminal(tmp_path).kmdb("inspect", "--json", "-", standard_input=content)
    assert not any(order in ended.out for order in TERMINAL_ORDERS)
    assert [json.loads(shown)["name"] for shown in ended.out.split("\n") if shown] == list(HOSTILE)


def test_messages_escape_control_sequences(tmp_path: Path) -> None:
    ended = Terminal(tmp_path).kmdb("import", "\x1b[2J", DATABASE_URL="mysql://u@127.0.0.1:1/\x1b[2J%9b")
    assert ended.code == 1
    assert ended.err.startswith("kmdb: ")
    assert "\x1b" not in ended.err


DEEP = 8_000_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"_p":"bob","_t":1,"x":' + b"[" * DEEP + b"]" * DEEP + b"}", Reason.NESTING_TOO_DEEP),
        (b'{"_p":"bob","_t":1,"x":' + b'{"a":' * (DEEP // 3), Reason.NESTING_TOO_DEEP),
        (b"[" * DEEP, Reason.NESTING_TOO_DEEP),
        (b'"' * DEEP, Reason.INVALID_JSON),
        (b"{" * DEEP, Reason.INVALID_JSON),
    ],
    ids=["arrays", "objects", "only brackets", "only quotes", "only braces"],
)
def test_nesting_beyond_the_limit_is_rejected(content: bytes, reason: Reason) -> None:
    assert len(content) < MAX_LINE_BYTES
    (record,) = read_lines([content])
    assert isinstance(record, Rejected)
    assert record.reason is reason


GIGABYTE = """
import itertools, resource
from kmdb_dagster.km_export.reader import read_columns
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
line = itertools.chain([b'{"_p":"'], itertools.repeat(b"x" * 2**20, 1024), [b'"}\\n{"_p":"bob","_t":1,"_n":"came"}'])
found = list(read_columns(line))
print([type(record).__name__ for record in found], len(found[0].raw), (peak() - before) // 1024)
"""


def test_a_line_of_a_gigabyte_is_rejected_in_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", GIGABYTE], capture_output=True, text=True, check=True)  # noqa: S603
    kinds, _, numbers = done.stdout.partition("] ")
    kept, grown = map(int, numbers.split())
    assert kinds == "['Rejected', 'Columns'"
    assert kept == 64 * 1024
    assert grown < 100, "MB more than before"


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("password", ["'", '"', "%", "a\nb", "\\", "#x", " p ", "${HOME}", "{x}", "p@/:?&=", "\x1b[2J"])
def test_a_password_may_contain_any_character(password: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = "".join(f"%{byte:02X}" for byte in password.encode())
    url = f"mysql://u:{written}@h/kmdb"
    (tmp_path / ".env").write_text(f"DATABASE_URL='{url}'\n")
    assert load_settings().required_database().password == password
    monkeypatch.setenv("DATABASE_URL", url)
    assert load_settings().required_database().password == password
    assert database_url(url).render_as_string() == "mysql+mysqldb://u:***@h/kmdb?charset=utf8mb4"


@pytest.mark.parametrize("name", ["it's", '"', "a%sb", "{x}", "a\nb", "../etc", "x;y", "\x1b[2J"])
def test_an_invalid_bucket_name_is_an_error_with_the_setting(
    name: str, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch, s3_url: str
) -> None:
    settings = {"AWS_BUCKET": name, "AWS_ENDPOINT_URL": s3_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    monkeypatch.delenv("KMDB_LOCAL_BUCKET")
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(PermanentError):
        kmdb.bucket().find("revisions/1.json")


@pytest.mark.parametrize("key", ["", "x", "1e3", "-1", "1.0", "007", "1..5", "٣", "1\n", "'; DROP", "\x1b[2J"])
def test_a_partition_key_that_is_not_a_number_is_an_error(key: str) -> None:
    with pytest.raises(KmdbError, match="is not a revision number") as caught:
        revisions_of([key])
    assert not any(order in str(caught.value) for order in TERMINAL_ORDERS)

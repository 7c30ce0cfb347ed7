"""The formats of `kmdb ask`: each has the same answer, on the standard output and in a file."""

import csv
import io
import json
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pyarrow.parquet as pq
import pytest

from kmdb_dagster.cli.ask import FORMATS
from testing.buckets import T, event
from testing.revisions import Revisions
from testing.terminal import Terminal

FUNNEL = ("funnel", "visited site", "signed up", "--within", "1h")
TREND = ("trend", "signed up", "--by", "plan", "--every", "1d", "--last", "2d")
FORMULA = '=cmd|"x"'


@pytest.fixture
def asked(ready: Terminal, warehouse: object, tmp_path: Path) -> Terminal:
    """A terminal at a database with three visitors; one signs up, on a plan that is a formula."""
    lines = [event("visited site", name, T) for name in ("ann", "bob", "carl")]
    lines += [event("signed up", "bob", T + 60, plan=FORMULA)]
    Revisions(warehouse, tmp_path).put(1, *lines)  # type: ignore[arg-type]  # the fixture's warehouse
    return ready


def test_json_has_the_question_the_finding_all_rows_and_the_caveats(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--json", *FUNNEL)
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert found["asked"] == {
        "line": "funnel 'visited site' 'signed up' --within 1h",
        "question": "funnel",
        "parameters": {"steps": ["visited site", "signed up"], "within": "1h"},
    }
    assert found["finding"] == "33.3 % of 3 people reach the last step."
    assert found["number"] == pytest.approx(1 / 3)
    assert found["rows"][1] == {
        "step": 2,
        "event": "signed up",
        "people": 1,
        "of_first": pytest.approx(1 / 3),
        "of_step_before": pytest.approx(1 / 3),
    }
    assert found["columns"] == list(found["rows"][0])
    assert found["span"]["since"] == "2014-03-16T00:00:00+00:00"
    assert found["caveats"][0].startswith("People who started in the last hour")
    assert "FROM events" in found["sql"][0]


def test_parquet_has_all_rows_with_times_in_utc_and_the_finding(asked: Terminal) -> None:
    assert asked.kmdb("ask", "--output", "answer.parquet", *TREND).err == "Wrote answer.parquet.\n"
    table = pq.read_table(asked.folder / "answer.parquet")
    assert str(table.schema.field("time").type).endswith("tz=UTC]")
    assert table["group"].to_pylist()[-1] == FORMULA
    about = pq.read_metadata(asked.folder / "answer.parquet").metadata or {}
    assert about[b"kmdb.finding"].startswith(b"1 event")
    assert about[b"kmdb.asked"].startswith(b"trend 'signed up' --by plan")


def test_markdown_is_a_page_with_the_question_to_ask_it_again(asked: Terminal) -> None:
    shown = asked.kmdb("ask", "--format", "markdown", *FUNNEL).out
    assert shown.startswith("## visited site → signed up within 1 hour\n\n33\\.3 % of 3 people reach the last step\\.")
    assert "| step | event | people | of first | of step before |\n| --- |" in shown
    assert "* People who started in the last hour" in shown
    assert shown.endswith("```sh\nkmdb ask funnel 'visited site' 'signed up' --within 1h\n```\n")


@pytest.mark.parametrize("question", [FUNNEL, TREND], ids=lambda question: question[0])
def test_every_format_has_the_same_rows(asked: Terminal, question: tuple[str, ...]) -> None:
    rows = json.loads(asked.kmdb("ask", "--json", *question).out)["rows"]
    asked.kmdb("ask", "--output", "answer.parquet", *question)
    parquet = pl.read_parquet(asked.folder / "answer.parquet")
    assert json.loads(json.dumps(parquet.to_dicts(), default=lambda time: time.isoformat())) == rows
    table = list(csv.DictReader(io.StringIO(asked.kmdb("ask", "--csv", *question).out)))
    assert [row["people"] for row in table] == [str(row["people"]) for row in rows]
    assert asked.kmdb("ask", "--csv", *question).out == asked.kmdb("ask", "--format", "csv", *question).out


def test_a_formula_is_escaped_in_csv_and_exact_in_json(asked: Terminal) -> None:
    assert "'=cmd" in asked.kmdb("ask", "--csv", *TREND).out
    assert FORMULA in [row["group"] for row in json.loads(asked.kmdb("ask", "--json", *TREND).out)["rows"]]


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("answer.txt", b"visited site"),
        ("answer.csv", b"step,event"),
        ("answer.json", b'{"asked"'),
        ("answer.parquet", b"PAR1"),
        ("answer.md", b"## visited"),
        ("answer", b"visited site"),
    ],
)
def test_the_name_of_the_output_file_chooses_the_format(asked: Terminal, file: str, start: bytes) -> None:
    ended = asked.kmdb("ask", "--output", file, *FUNNEL)
    assert (ended.code, ended.out, ended.err.splitlines()[0]) == (0, "", f"Wrote {file}.")
    assert (asked.folder / file).read_bytes().startswith(start)
    assert asked.kmdb("ask", "--format", "json", "--output", file, *FUNNEL).code == 0
    assert (asked.folder / file).read_bytes().startswith(b'{"asked"')


@pytest.mark.parametrize("name", FORMATS)
def test_the_sql_does_not_disturb_a_format_for_programs(asked: Terminal, name: str) -> None:
    ended = asked.kmdb("ask", "--sql", "--format", name, "--output", "answer", *FUNNEL)
    assert ended.out == ""
    assert "FROM events" in ended.err


def test_a_file_that_cannot_be_written_is_refused_before_a_query_runs(asked: Terminal) -> None:
    ended = asked.kmdb("ask", "--sql", "--output", "missing/answer.json", *FUNNEL)
    assert (ended.code, ended.out) == (2, "")
    assert "missing/answer.json cannot be written" in ended.err


def test_parquet_is_not_written_to_a_terminal(asked: Terminal) -> None:
    with patch("kmdb_dagster.cli.ask.is_terminal", return_value=True):
        ended = asked.kmdb("ask", "--format", "parquet", *FUNNEL)
    assert (ended.code, ended.out) == (2, "")
    assert "use --output FILE.parquet" in ended.err


def test_an_option_behind_the_name_of_the_question_gets_a_hint(asked: Terminal) -> None:
    ended = asked.kmdb("ask", *FUNNEL, "--json")
    assert ended.code == 2
    assert "--json comes before the name of the question: kmdb ask --json … funnel …" in ended.err

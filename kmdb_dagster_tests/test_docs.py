"""Holds the documents to the code. `make docs` runs these and all other tests with ``docs`` in their name."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import kmdb_dagster
from kmdb_dagster.cli import main
from kmdb_dagster.km_export.reasons import REASONS
from kmdb_dagster.km_export.records import Reason
from kmdb_dagster.lake.parquet_file import SCHEMA_VERSION
from kmdb_dagster.lake.parsed import SCHEMA
from kmdb_dagster.warehouse.schema.tables import Base

ROOT = Path(kmdb_dagster.__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text()


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next of its kind."""
    return re.split(r"^## ", read(page).split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_link_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.usefixtures("bare_environment")
def test_docs_the_readme_transcript_is_what_the_commands_print() -> None:
    transcript = read("README.md").split("```console\n", 1)[1].split("```", 1)[0]
    for command, expected in re.findall(r"^\$ kmdb (.*)\n((?:(?!\$).*\n)*)", transcript, re.MULTILINE):
        result = CliRunner().invoke(main, shlex.split(command))
        assert (result.exit_code, result.stdout) == (0, expected)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_docs_name_every_command(name: str) -> None:
    assert re.search(rf"kmdb {name}\b", "".join(page.read_text() for page in PAGES))


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: str(command.name))
def test_docs_every_command_has_help_with_an_example(command: click.Command) -> None:
    assert "Example:" in (command.help or "")


def test_docs_the_reading_rules_list_the_reasons_that_there_are_in_the_words_of_inspect() -> None:
    table = re.findall(
        r"^\| `([a-z_0-9]+)` \| (.*) \|$", section("docs/reference/reading-rules.md", "Reasons"), re.MULTILINE
    )
    assert {name: words.replace("`", "") for name, words in table} == REASONS
    assert REASONS.keys() == set(Reason)


def test_docs_the_architecture_names_the_folders_that_there_are() -> None:
    named = re.findall(r"^\| `([a-z_]+)/` \|", read("docs/explanation/architecture.md"), re.MULTILINE)
    there = [path.name for path in (ROOT / "kmdb_dagster").iterdir() if (path / "__init__.py").exists()]
    assert sorted(named) == sorted(there)


@pytest.mark.parametrize("table", Base.metadata.tables.values(), ids=lambda table: str(table.name))
def test_docs_the_data_model_names_every_table_and_column(table: object) -> None:
    page = read("docs/reference/tables.md")
    assert f"`{table.name}`" in page or f"**{table.name}**" in page  # type: ignore[attr-defined]  # a Table
    missing = [c.name for c in table.columns if not re.search(rf"\b{c.name}\b", page)]  # type: ignore[attr-defined]
    assert missing == []


def test_docs_the_parquet_schema_is_the_documented_one() -> None:
    described = read("docs/reference/parquet.md")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", described, re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"\w+", row)] == SCHEMA.names
    assert f"`kmdb.schema_version` ({SCHEMA_VERSION})" in described

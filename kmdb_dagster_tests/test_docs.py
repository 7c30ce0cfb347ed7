"""The documents agree with the code. `dev/test -k docs` runs these and all other tests of documents."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dev.docs_hooks import COMMANDS, INCLUDED, command_reference, site_links
from kmdb_dagster.cli import main
from kmdb_dagster.definitions import definitions
from kmdb_dagster.km_export.reasons import REASONS
from kmdb_dagster.km_export.records import Reason
from kmdb_dagster.lake.parquet_file import SCHEMA_VERSION
from kmdb_dagster.lake.parsed import SCHEMA
from kmdb_dagster.warehouse.schema.tables import Base
from testing.documents import ROOT, read, section

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

DATE_AND_STATUS = r"Date: \d{4}-\d\d-\d\d · Status: (?:accepted|superseded by \[(\d{4})\]\(\1-[a-z-]+\.md\))(?:, .*)?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_link_to_existing_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_name_only_existing_files_of_the_code(page: Path) -> None:
    paths = re.findall(r"`((?:kmdb_dagster|kmdb_dagster_tests|dev|docs|faults|benchmarks)/[\w./-]*)", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-answer.md"])
def test_docs_commands_print_the_transcript_of_the_readme_and_the_tutorial(page: str) -> None:
    transcript = read(page).split("```console\n", 1)[1].split("```", 1)[0]
    commands = re.findall(r"^\$ kmdb (.*)\n((?:(?!\$).*\n)*)", transcript, re.MULTILINE)
    assert commands
    for command, expected in commands:
        result = CliRunner().invoke(main, shlex.split(command))
        assert (result.exit_code, result.stdout) == (0, expected)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_docs_name_every_command(name: str) -> None:
    assert re.search(rf"kmdb {name}\b", "".join(page.read_text() for page in PAGES))


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: str(command.name))
def test_docs_every_command_has_help_with_an_example(command: click.Command) -> None:
    assert "Example:" in (command.help or "")


def test_docs_reading_rules_list_every_reason_as_inspect_prints_it() -> None:
    table = re.findall(
        r"^\| `([a-z_0-9]+)` \| (.*) \|$", section("docs/reference/reading-rules.md", "Reasons"), re.MULTILINE
    )
    assert {name: words.replace("`", "") for name, words in table} == REASONS
    assert REASONS.keys() == set(Reason)


def test_docs_the_architecture_lists_every_package() -> None:
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


@pytest.mark.usefixtures("bare_environment")
def test_docs_list_every_definition_of_dagster() -> None:
    page = read("docs/reference/dagster.md")
    repository = definitions().get_repository_def()
    names = [
        *(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        *(key.name for key in repository.asset_graph.asset_check_keys),
        *(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        *(sensor.name for sensor in repository.sensor_defs),
        *(schedule.name for schedule in repository.schedule_defs),
    ]
    assert len(names) > 30
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("decision", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda path: path.stem)
def test_docs_every_decision_has_a_date_and_a_status_and_is_listed(decision: Path) -> None:
    title, _, dated, *_ = decision.read_text().splitlines()
    found = re.fullmatch(
        r"Date: \d{4}-\d\d-\d\d · Status: (?:accepted|superseded by \[(\d{4})\]\(\1-[a-z-]+\.md\))(?:, .*)?", dated
    )
    assert found, dated
    number, words = title.removeprefix("# ").split(": ", 1)
    assert f"| [{number}]({decision.name}) | {words} |" in read("docs/decisions/README.md")


def test_docs_the_site_has_the_help_of_every_command() -> None:
    assert COMMANDS in read("docs/reference/cli.md")
    reference = command_reference()
    assert [name for name in main.commands if f"\n## kmdb {name}\n" not in f"\n{reference}"] == []


def test_docs_links_out_of_the_site_become_text_and_links_to_included_files_lead_to_their_pages() -> None:
    text = "[a](../kmdb_dagster/cli) [b](../CHANGELOG.md#x) [c](how-to/query.md) [d](https://example.com)"
    here = site_links(text, ROOT / "docs" / "page.md", "page.md")
    assert here == "a [b](project/changelog.md#x) [c](how-to/query.md) [d](https://example.com)"
    there = site_links("[a](docs/how-to/query.md)", ROOT / "CONTRIBUTING.md", INCLUDED["CONTRIBUTING.md"])
    assert there == "[a](../how-to/query.md)"


def test_docs_name_only_metadata_that_the_code_records() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section("docs/reference/metrics.md", "Checks"), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"\w+", row)]
    code = "".join(path.read_text() for path in (ROOT / "kmdb_dagster").rglob("*.py"))
    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in code] == []

"""Common behaviour of every command: help, exit codes, one line for a failure."""

import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kmdb_dagster import __version__
from kmdb_dagster.cli import main
from kmdb_dagster.cli.ui import configure
from testing.terminal import Terminal

COMMANDS = [
    "ask",
    "columnar",
    "confirm",
    "filter",
    "flush",
    "forget",
    "import",
    "index",
    "inspect",
    "migrate",
    "partition",
    "person",
    "realias",
    "sample",
    "status",
    "ui",
    "view",
    "webserver",
    "worker",
]
ON_THE_DATABASE = [
    ["flush", "--yes"],
    ["import"],
    ["import", "1..2"],
    ["migrate"],
    ["partition"],
    ["realias"],
    ["status"],
    ["view", "create", "signed up"],
    ["view", "drop", "people"],
    ["view", "list"],
    ["view", "people"],
]


def test_the_commands_are_listed() -> None:
    assert sorted(main.commands) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    _, example = result.output.split("Example:\n")
    assert f"kmdb {name}" in example
    shown = [option for option in main.commands[name].params if isinstance(option, click.Option)]
    assert all(option.help for option in shown)


def test_kmdb_prints_its_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"kmdb, version {__version__}\n"


def test_help_does_not_import_dagster(tmp_path: Path) -> None:
    code = "import sys, kmdb_dagster.cli; sys.exit('dagster' in sys.modules)"
    assert run(tmp_path, sys.executable, "-c", code).returncode == 0


def test_the_installed_program_is_this_package(tmp_path: Path) -> None:
    done = run(tmp_path, str(Path(sys.executable).parent / "kmdb"), "import", "3..1")
    assert done.returncode == 1
    assert done.stderr.startswith("kmdb: '3..1' runs backwards.")
    assert done.stderr.count("\n") == 1


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own programs


@pytest.mark.parametrize("arguments", ON_THE_DATABASE)
def test_a_missing_setting_is_one_line_that_names_it(arguments: list[str], terminal: Terminal) -> None:
    ended = terminal.kmdb(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("kmdb: DATABASE_URL is not set. ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [*ON_THE_DATABASE, ["ui"]])
def test_a_wrong_setting_is_one_line_that_names_it(arguments: list[str], terminal: Terminal) -> None:
    ended = terminal.kmdb(*arguments, KMDB_BATCH_SIZE="many")
    assert ended.code == 2
    assert ended.err.startswith("kmdb: KMDB_BATCH_SIZE is 'many': ")
    assert ended.err.count("\n") == 1


def test_settings_that_cannot_be_read_are_one_line(terminal: Terminal) -> None:
    (terminal.folder / ".env").write_bytes(b"\xff\xfeDATABASE_URL=")
    ended = terminal.kmdb("status")
    assert (ended.code, ended.err) == (2, "kmdb: .env cannot be read (UnicodeDecodeError). It must be UTF-8 text.\n")


def test_an_unreachable_server_is_one_line(terminal: Terminal) -> None:
    ended = terminal.kmdb("status", DATABASE_URL="mysql://root:hushhush@127.0.0.1:1/kmdb")
    assert ended.code == 1
    assert ended.err == "kmdb: Database 'kmdb' on 127.0.0.1: the server cannot be reached (2002).\n"


@pytest.mark.parametrize(
    ("given", "words"), [("3..1", "'3..1' runs backwards"), ("x", "'x' is not a range"), ("0", "'0' holds a number")]
)
def test_an_invalid_range_is_one_line(given: str, words: str, terminal: Terminal) -> None:
    ended = terminal.kmdb("import", given)
    assert ended.code == 1
    assert ended.err.startswith(f"kmdb: {words}")
    assert ended.err.endswith("Expected: `31..45` (first and last revision) or `31`.\n")


def test_an_import_without_dagster_home_says_how_to_set_it(terminal: Terminal) -> None:
    ended = terminal.kmdb("import", DATABASE_URL="mysql://root@127.0.0.1:1/kmdb")
    assert ended.code == 2
    assert "Set DAGSTER_HOME to a folder" in ended.err


def test_a_dagster_home_that_is_not_a_folder_is_one_line(terminal: Terminal) -> None:
    ended = terminal.kmdb("import", DATABASE_URL="mysql://root@127.0.0.1:1/kmdb", DAGSTER_HOME="relative")
    assert ended.code == 2
    assert ended.err.startswith("kmdb: DAGSTER_HOME is 'relative'. Expected: the absolute path of a folder")


def test_an_import_without_a_daemon_says_how_to_start_it(ready: Terminal, tmp_path: Path) -> None:
    configure(tmp_path / "home")
    ended = ready.kmdb("import", DAGSTER_HOME=str(tmp_path / "home"))
    assert ended.code == 1
    assert ended.err == (
        "kmdb: Dagster's daemon is not running, so no run would start. Start `kmdb ui` and leave it open.\n"
    )


def test_a_new_dagster_home_is_configured_and_an_existing_one_is_unchanged(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    configure(home)
    configuration = home / "dagster.yaml"
    assert f"base_dir: {home}\n" in configuration.read_text()
    configuration.write_text("mine")
    configure(home)
    assert configuration.read_text() == "mine"


def test_a_new_dagster_home_is_private_to_the_user(tmp_path: Path) -> None:
    configure(tmp_path / "home")
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_files_of_the_ui_are_private_to_the_user(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[int] = []
    monkeypatch.setattr("os.umask", masks.append)
    monkeypatch.setattr("os.execv", lambda *_: None)
    assert terminal.kmdb("ui").code == 0
    assert masks == [0o077]


def test_the_ui_listens_on_this_machine_only(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.umask", lambda _: None)
    monkeypatch.setattr("os.execv", lambda _, arguments: started.append(arguments))
    assert terminal.kmdb("ui", "--port", "3999").code == 0
    ((*_, host_option, host, _, port),) = started
    assert (host_option, host, port) == ("-h", "127.0.0.1", "3999")

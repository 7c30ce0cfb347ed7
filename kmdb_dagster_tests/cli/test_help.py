"""The help of every command: summaries that fit, an example that the command accepts, and its real output."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kmdb_dagster.cli import SECTIONS, main
from testing.terminal import Terminal

COLUMNS = "80"


def walk(group: click.Group, path: str = "kmdb") -> Iterator[tuple[str, click.Command]]:
    """Yield every command and subcommand with its full name."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")


COMMANDS = dict(walk(main))
COMMANDS_OF = {
    "": main.commands,
    **{
        path.removeprefix("kmdb "): group.commands for path, group in COMMANDS.items() if isinstance(group, click.Group)
    },
}


def summary(command: click.Command) -> str:
    return (command.help or "").split("\n\n", 1)[0].strip()


def example(command: click.Command) -> str:
    return (command.help or "").split("Example:\n", 1)[1]


@pytest.mark.parametrize("group", COMMANDS_OF)
def test_no_summary_is_cut_at_80_columns(group: str, terminal: Terminal) -> None:
    shown = terminal.kmdb(*group.split(), "--help", COLUMNS=COLUMNS)
    assert shown.code == 0
    listing = shown.out.split("Example:")[-1].splitlines()
    commands = COMMANDS_OF[group]
    for name, command in commands.items():
        (line,) = [line for line in listing if re.match(rf"  {name}  ", line)]
        assert line.split(maxsplit=1)[1] == summary(command)
        assert len(line) <= int(COLUMNS)


def test_every_command_is_in_one_section() -> None:
    listed = [str(command.name) for commands in SECTIONS.values() for command in commands]
    assert sorted(listed) == sorted(main.commands)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_summary_is_one_sentence_before_the_description(path: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]+\.", summary(COMMANDS[path]))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_accepts_its_examples(
    path: str, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = tmp_path / "questions.toml"
    questions.write_text("signups = 'trend \"signed up\" --last 30d'\n")
    monkeypatch.setenv("KMDB_QUESTIONS", str(questions))
    for name in ("people.txt", "bucket/revisions/3.json"):
        (terminal.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (terminal.folder / name).touch()
    lines = re.findall(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*kmdb (?!on )(.+)$", example(COMMANDS[path]), re.MULTILINE)
    assert any(f"kmdb {line}".startswith(path) for line in lines)
    for line in lines:
        accepts(line, terminal)


def accepts(line: str, terminal: Terminal) -> None:
    """Parse the arguments of an example, without running it."""
    arguments = [str(terminal.folder / word) if word.endswith(".json") else word for word in shlex.split(line)]
    arguments = [str(terminal.folder / word) if word == "people.txt" else word for word in arguments]
    command: click.Command = main
    context: click.Context | None = None
    while isinstance(command, click.Group):
        context = command.make_context(command.name, arguments, parent=context)
        rest = [
            *context._protected_args,  # noqa: SLF001 - click has no public name for it
            *context.args,
        ]
        if not rest:
            return
        name, found, arguments = command.resolve_command(context, rest)
        assert found, f"no command {name}"
        command = found
    command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize("path", ["kmdb sample", "kmdb inspect", "kmdb partition", "kmdb index build", "kmdb realias"])
def test_examples_print_what_the_help_shows(path: str, ready: Terminal) -> None:
    shown = re.findall(
        r"^ *\$ ((?:[A-Z_]+=\S+ )*)kmdb (.*)\n((?: *[^ $\n].*\n)*)", example(COMMANDS[path]), re.MULTILINE
    )
    checked = [(settings, line, output) for settings, line, output in shown if output.strip()]
    assert checked
    for settings, line, output in checked:
        given = dict(setting.split("=", 1) for setting in settings.split())
        ended = ready.kmdb(*shlex.split(line), **given)
        assert (ended.code, ended.out.split()) == (0, output.split())

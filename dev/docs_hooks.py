"""Hooks of mkdocs: pages that include files of the checkout, the help of each command, links to files outside docs/.

The site has every page that GitHub shows, from the same files. A link to a file that is no page (code, configuration)
becomes plain text.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import click

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

INCLUDED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "reference/benchmarks.md",
}
"""Files of the checkout, and the pages of docs/ whose text they are."""

COMMANDS = "<!-- the help of every command -->"
"""Where `reference/cli.md` gets the help of the commands."""

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


class File(Protocol):
    """The part of mkdocs' File that is used here."""

    src_uri: str


class Page(Protocol):
    """The part of mkdocs' Page that is used here."""

    file: File


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:  # noqa: ANN401 - mkdocs passes its configuration
    """Return the Markdown that mkdocs renders for a page."""
    uri = page.file.src_uri
    source = DOCS / uri
    for path, included_as in INCLUDED.items():
        if uri == included_as:
            source = ROOT / path
            markdown = source.read_text("utf-8")
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    return site_links(markdown, source, uri)


def site_links(markdown: str, source: Path, uri: str) -> str:
    """Rewrite the links of an included file for the page that shows it.

    Args:
        markdown: the text of the file.
        source: the file, to which its links are relative.
        uri: the page's path below docs/.
    """

    def replaced(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link["target"]))
        page = _page(target)
        if page is None:
            return link["text"]
        return f"[{link['text']}]({os.path.relpath(page, Path(uri).parent)}{link['anchor'] or ''})"

    return LINK.sub(replaced, markdown)


def _page(target: Path) -> str | None:
    """Return the page below docs/ that shows a file; None if no page does."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    return INCLUDED.get(target.relative_to(ROOT).as_posix())


def command_reference() -> str:
    """Return the help of every command and subcommand as Markdown, each with a heading."""
    from kmdb_dagster.cli import main  # noqa: PLC0415 - only this page needs it

    context = click.Context(main, info_name="kmdb", max_content_width=100, terminal_width=100)
    return "\n\n".join(_help(command) for command in _commands(context, main.commands))


def _commands(parent: click.Context, commands: Mapping[str, click.Command]) -> Iterator[click.Context]:
    for name, command in sorted(commands.items()):
        context = click.Context(command, parent=parent, info_name=name, max_content_width=100, terminal_width=100)
        yield context
        if isinstance(command, click.Group):
            yield from _commands(context, command.commands)


def _help(context: click.Context) -> str:
    return f"## {context.command_path}\n\n```text\n{context.get_help()}\n```"

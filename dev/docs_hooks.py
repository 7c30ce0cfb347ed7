"""Hooks of mkdocs: pages from files outside docs/, the help of each command, links to files that are no pages.

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
"""Files outside docs/, and the paths of their pages on the site."""

COMMANDS = "<!-- the help of every command -->"
"""Where `reference/cli.md` gets the help of the commands."""

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


class File(Protocol):
    """The part of mkdocs' File that is used here."""

    src_uri: str


class Files(Protocol):
    """The part of mkdocs' Files that is used here."""

    def append(self, file: Any) -> None:  # noqa: ANN401 - mkdocs' File
        """Add a file."""


class Page(Protocol):
    """The part of mkdocs' Page that is used here."""

    file: File


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - mkdocs passes its configuration
    """Add the pages that are files outside docs/."""
    from mkdocs.structure.files import File as PageFile  # noqa: PLC0415 - only where the site is built

    for path, uri in INCLUDED.items():
        files.append(PageFile.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:  # noqa: ANN401 - mkdocs passes its configuration
    """Return the Markdown that mkdocs renders for a page."""
    uri = page.file.src_uri
    sources = {included_as: ROOT / path for path, included_as in INCLUDED.items()}
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    return site_links(markdown, sources.get(uri, DOCS / uri), uri)


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

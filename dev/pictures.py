"""`python -m dev.pictures`: ask the demo every question of the documents again, for its output and its picture.

Needs the servers of `dev/demo`.
"""

import os
import re
import shlex
import sys

from click.testing import CliRunner
from dotenv import dotenv_values

from dev import site
from kmdb_dagster.cli import main as kmdb

PAGES = [site.ROOT / "docs" / "how-to" / "ask-questions.md", site.ROOT / "docs" / "tutorial" / "first-answer.md"]
PICTURES = site.ROOT / "docs" / "pictures"
QUESTION = re.compile(
    r"```console\n\$ kmdb ask (?P<line>.*)\n(?P<output>(?:.*\n)*?)```\n\n"
    r"!\[(?P<title>.*)\]\(\.\./pictures/(?P<name>\w+)\.png\)"
)


def main() -> int:
    """Answer each question, and replace its output in the page."""
    os.environ.update({name: value or "" for name, value in dotenv_values(site.SETTINGS).items()})
    os.environ["COLUMNS"] = "100"
    for path in PAGES:
        page = path.read_text("utf-8")
        path.write_text(QUESTION.sub(_answered, page), "utf-8")
        print(f"{len(QUESTION.findall(page))} questions of {path.relative_to(site.ROOT)} answered again.")
    return 0


def _answered(found: re.Match[str]) -> str:
    line, name = found["line"], found["name"]
    picture = PICTURES / f"{name}.png"
    result = CliRunner().invoke(kmdb, ["ask", "--picture", str(picture), *shlex.split(line)])
    if result.exit_code:
        raise SystemExit(f"kmdb ask {line}\n{result.stderr}")
    output = "".join(f"{row.rstrip()}\n" for row in result.stdout.splitlines())
    return f"```console\n$ kmdb ask {line}\n{output}```\n\n![{found['title']}](../pictures/{name}.png)"


if __name__ == "__main__":
    sys.exit(main())

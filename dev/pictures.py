"""`python -m dev.pictures`: asks the demo every question of docs/how-to/ask-questions.md again.

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

PAGE = site.ROOT / "docs" / "how-to" / "ask-questions.md"
PICTURES = site.ROOT / "docs" / "pictures"
ASKED = re.compile(
    r"```console\n\$ kmdb ask (?P<line>.*)\n(?P<said>(?:.*\n)*?)```\n\n"
    r"!\[(?P<words>.*)\]\(\.\./pictures/(?P<name>\w+)\.png\)"
)


def main() -> int:
    """Ask, and write down what is said."""
    os.environ.update({name: value or "" for name, value in dotenv_values(site.SETTINGS).items()})
    os.environ["COLUMNS"] = "100"
    page = PAGE.read_text("utf-8")
    PAGE.write_text(ASKED.sub(_answered, page), "utf-8")
    print(f"{len(ASKED.findall(page))} questions of {PAGE.relative_to(site.ROOT)} asked again.")
    return 0


def _answered(found: re.Match[str]) -> str:
    line, name = found["line"], found["name"]
    picture = PICTURES / f"{name}.png"
    result = CliRunner().invoke(kmdb, ["ask", "--picture", str(picture), *shlex.split(line)])
    if result.exit_code:
        raise SystemExit(f"kmdb ask {line}\n{result.stderr}")
    said = "".join(f"{row.rstrip()}\n" for row in result.stdout.splitlines())
    return f"```console\n$ kmdb ask {line}\n{said}```\n\n![{found['words']}](../pictures/{name}.png)"


if __name__ == "__main__":
    sys.exit(main())

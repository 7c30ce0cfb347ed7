"""The results of the rounds as a table, for the terminal and docs/explanation/reliability.md."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.rounds import Round

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "reliability.md"
HEAD = "| fault | injected | the run got over it | it ended the run | rows lost | rows twice | tables differing |"


@dataclass
class Line:
    """The results of one kind of fault."""

    name: str
    injected: int = 0
    got_over: int = 0
    lost: int = 0
    twice: int = 0
    tables: int = 0
    complaints: int = 0
    words: str = ""

    def add(self, played: Round) -> None:
        """Add a round."""
        self.injected += 1
        self.got_over += played.outcome.success
        self.lost += played.difference.lost
        self.twice += played.difference.twice
        self.tables += len(played.difference.tables)
        self.complaints += bool(played.complaint)
        self.words = played.outcome.words or self.words

    @property
    def good(self) -> bool:
        """Whether every round had the expected result."""
        return self.injected > 0 and not (self.lost or self.twice or self.tables or self.complaints)


def table(lines: Sequence[Line]) -> str:
    """Render the lines as a Markdown table."""
    rows = [
        f"| {line.name} | {line.injected} | {line.got_over} | {line.injected - line.got_over} | {line.lost} | "
        f"{line.twice} | {line.tables} |"
        for line in lines
    ]
    total = sum(line.injected for line in lines)
    return "\n".join([HEAD, "| --- " * 7 + "|", *rows, f"| together | {total} | | | | | |"])


def write(server: str, lines: Sequence[Line]) -> None:
    """Write the lines into the table of that kind of server, and replace older ones of the same faults."""
    kind = server.split(maxsplit=1)[0]
    begin, end = f"<!-- {kind}: written by python -m faults -->", f"<!-- {kind}: end -->"
    before, _, rest = PAGE.read_text().partition(begin)
    block, _, after = rest.partition(end)
    merged = {line.name: line for line in (*_read(block), *lines)}
    PAGE.write_text(f"{before}{begin}\n**{server}**\n\n{table(list(merged.values()))}\n{end}{after}")


def _read(block: str) -> list[Line]:
    row = r"^\| ([^|]+) \| (\d+) \| (\d+) \| \d+ \| (\d+) \| (\d+) \| (\d+) \|$"
    rows: list[tuple[str, str, str, str, str, str]] = re.findall(row, block, re.MULTILINE)
    found = []
    for name, *counts in rows:
        injected, got_over, lost, twice, tables = map(int, counts)
        found.append(Line(name, injected, got_over, lost, twice, tables))
    return found

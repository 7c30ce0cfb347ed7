"""Buckets for tests: a folder with revisions, and the lines to put there."""

import json
from pathlib import Path
from typing import Any

T = 1397577453
"""A time: 2014-04-15 15:57:33 UTC."""


def event(name: str, identity: str = "bob@example.com", t: int = T, **properties: str) -> bytes:
    """Return the line of an event."""
    return line({**properties, "_n": name, "_p": identity, "_t": t})


def property_set(identity: str = "bob@example.com", t: int = T, **properties: str) -> bytes:
    """Return the line of a property set."""
    return line({**properties, "_p": identity, "_t": t})


def alias(one: str, other: str, t: int = T) -> bytes:
    """Return an alias line: two identities are one person."""
    return line({"_p2": other, "_p": one, "_t": t})


def line(fields: dict[str, Any]) -> bytes:
    """Return a line as KM writes it."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class FolderOfRevisions:
    """A bucket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "revisions").mkdir(parents=True)

    def put(self, revision: int, *lines: bytes) -> Path:
        """Write a revision, in place of any older one."""
        path = self.folder / "revisions" / f"{revision}.json"
        path.write_bytes(b"".join(lines))
        return path

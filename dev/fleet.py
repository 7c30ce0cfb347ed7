"""The processes that outlive a command, remembered in a file: the next command finds them, reuses or ends them.

What they are is the business of ``servers`` and ``site``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dev.processes import Process, alive, end, spawn
from dev.servers import KINDS, Kind, Server, answering, start, stop


class Entry(NamedTuple):
    """A process as it is stored in the file."""

    pid: int
    started: int
    port: int = 0
    stamp: str = ""
    """What it was started from."""

    @property
    def process(self) -> Process:
        """The process."""
        return Process(self.pid, self.started)


class Fleet:
    """The processes of a folder, which holds their data and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "processes.json"

    def server(self, kind: Kind) -> Server:
        """Return a server that answers: the running one, or a new one on its data, and on its port if that is free."""
        entry = self._entries().get(kind.name)
        if entry:
            known = Server(kind, entry.process, entry.port)
            if answering(known):
                return known
            stop(known)
        folder = self.folder / kind.name.lower()
        server = start(kind, folder, entry.port if entry else 0, outlives_starter=True)
        self._remember(kind.name, Entry(*server.process, port=server.port))
        return server

    def program(
        self, name: str, command: Sequence[str], env: Mapping[str, str], *, stamp: str, port: int = 0
    ) -> Process:
        """Return a running program: the one that was started from the same ``stamp``, or a new one."""
        entry = self.running(name)
        if entry and entry.stamp == stamp:
            return entry.process
        self.end(name)
        process = spawn(command, self.log(name), env, outlives_starter=True)
        self._remember(name, Entry(*process, port=port, stamp=stamp))
        return process

    def running(self, name: str) -> Entry | None:
        """Return the entry of a process if it runs."""
        entry = self._entries().get(name)
        return entry if entry and alive(entry.process) else None

    def log(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self.folder / f"{name}.log"

    def end(self, name: str) -> None:
        """End a process if it runs. The port of a server is kept for its next start."""
        if entry := self._entries().get(name):
            end(entry.process)

    def end_all(self) -> list[str]:
        """End all processes, programs before their servers. Return the names of those that ran."""
        names = sorted(self._entries(), key=lambda name: name in KINDS)
        ran = [name for name in names if self.running(name)]
        for name in names:  # also those that do not run: children of theirs may
            self.end(name)
        return ran

    def _entries(self) -> dict[str, Entry]:
        if not self._file.exists():
            return {}
        return {name: Entry(*fields) for name, fields in json.loads(self._file.read_text()).items()}

    def _remember(self, name: str, entry: Entry) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._entries() | {name: entry}, indent=1))
        fresh.rename(self._file)

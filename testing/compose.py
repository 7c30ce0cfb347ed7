"""compose.yaml without Docker: its commands and environments, on this machine's servers, ports and folders."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

import kmdb_dagster
from dev.processes import Process, end, free_port, spawn, tail

ROOT = Path(kmdb_dagster.__file__).parent.parent
PROGRAMS = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "kmdb-dagster"}
CODE_PORT, UI_PORT = "4000", "3000"


class Composed:
    """The services of compose.yaml that are ours.

    Args:
        folder: For everything that they write.
        given: Values in place of those that compose.yaml gives to variables, and those that .env would hold.
        changes: Text of dagster.yaml that is to be replaced, for waits that a test has no time for.
    """

    def __init__(self, folder: Path, given: Mapping[str, str], changes: Mapping[str, str]) -> None:
        self.folder = folder
        self._given = given
        self._ports = {CODE_PORT: str(free_port()), UI_PORT: str(free_port())}
        self._processes: dict[str, Process] = {}
        self.home, self.lake = folder / "dagster", folder / "data"
        self.home.mkdir()
        self._install("dagster.yaml", changes)
        self._install("workspace.yaml", {f"port: {CODE_PORT}": f"port: {self._ports[CODE_PORT]}"})

    @property
    def ui(self) -> str:
        """The URL of the webserver."""
        return f"http://127.0.0.1:{self._ports[UI_PORT]}"

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service."""
        there = {name: self._here(value) for name, value in OURS[service]["environment"].items()}
        path = f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.folder), **there, "KMDB_CODE_HOST": "127.0.0.1", **self._given}

    def run(self, service: str) -> None:
        """Run a service to its end."""
        done = subprocess.run(
            self._command(service), env=self.environment(service), cwd=self.home, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def kmdb(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `kmdb`, as `docker compose run --rm worker kmdb …` does."""
        return subprocess.Popen(
            [str(PROGRAMS / "kmdb"), *arguments],
            env=self.environment("worker"),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self, service: str, number: int = 1) -> Process:
        """Start a service, or another replica of it."""
        name = f"{service}-{number}"
        where = ["env", "-C", str(self.home)]
        process = spawn([*where, *self._command(service)], self.log(name), self.environment(service))
        self._processes[name] = process
        return process

    def log(self, name: str) -> Path:
        """Return the path of the log of a service."""
        return self.folder / f"{name}.log"

    def logs(self) -> str:
        """Return the ends of all logs, for a failing test."""
        return "\n".join(f"== {name}\n{tail(self.log(name), 40)}" for name in self._processes)

    def healthy(self, service: str) -> bool:
        """Return whether the health check of a service passes."""
        _, *command = self._words(OURS[service]["healthcheck"]["test"])
        asked = subprocess.run(command, env=self.environment(service), cwd=self.home, capture_output=True, check=False)
        return asked.returncode == 0

    def end(self) -> None:
        """End all services."""
        for process in reversed(self._processes.values()):
            end(process, patience=2, grace=2)

    def _command(self, service: str) -> list[str]:
        return self._words(OURS[service]["command"])

    def _words(self, words: list[str]) -> list[str]:
        return [self._here(word) for word in words]

    def _here(self, text: str) -> str:
        """Translate paths, ports and addresses of a container into those of this machine."""
        text = self._ports.get(text, text).replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - is not bound
        return re.sub(r"^/(dagster|data)\b", lambda found: f"{self.folder}/{found[1]}", text)

    def _install(self, name: str, changes: Mapping[str, str]) -> None:
        text = (ROOT / "deploy" / "celery" / name).read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        (self.home / name).write_text(text)


@contextmanager
def composed(folder: Path, given: Mapping[str, str], changes: Mapping[str, str] | None = None) -> Iterator[Composed]:
    """Yield the services, and end them after the block. A failure shows their logs."""
    made = Composed(folder, given, changes or {})
    try:
        yield made
    except BaseException as error:
        error.add_note(made.logs())
        raise
    finally:
        made.end()

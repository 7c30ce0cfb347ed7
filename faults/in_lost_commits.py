"""Faults in which the server loses commits and reuses ids: a power failure, a restored backup."""

import random
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from sqlalchemy import text

from faults.fault import Fault
from faults.imports import KILLED, Import, Outcome
from faults.site import Site

KEEP_LOG_IN_MEMORY = {"innodb_flush_log_at_trx_commit": 0, "innodb_flush_log_at_timeout": 2700}
SERVER_DEFAULTS = {"innodb_flush_log_at_trx_commit": 2, "innodb_flush_log_at_timeout": 1}
WITHOUT_REDIS = {"KMDB_REDIS_URL": ""}

Names = dict[tuple[str, int], bytes]
"""The digest of each name, by its table and id."""


class Committed(NamedTuple):
    """The commits of an import that other commits depend on."""

    names: Names
    rows: frozenset[tuple[object, ...]]
    """Alias lines and revisions."""


class CommitsLost(Fault):
    """The server loses the commits since a moment of the run."""

    resumes = True
    again = True

    def __init__(self, site: Site, chance: random.Random) -> None:
        super().__init__(site, chance)
        self.lost = 0
        self.names: Names = {}

    def count_lost(self, before: Committed) -> None:
        """Compare the tables with what was committed before."""
        after = committed(self.site)
        self.names = before.names
        self.lost = len(before.names.items() - after.names.items()) + len(before.rows - after.rows)

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.lost > 0

    def remark(self) -> str:
        now = committed(self.site).names
        reused = sum(now.get(place, digest) != digest for place, digest in self.names.items())
        return f"{self.lost} rows lost, {reused} ids reused"


class LogLost(CommitsLost):
    """A killed server that had its redo log in memory only."""

    def arm(self) -> None:
        # MySQL's log writer threads ignore the setting.
        if not self.site.database.server().maria:
            self.site.database.set(innodb_log_writer_threads="OFF")
        self.site.database.set(**KEEP_LOG_IN_MEMORY)

    def strike(self, run: Import) -> None:
        before = committed(self.site)
        if not self.run_goes_on:
            run.kill()
        self.site.database.kill()
        self.site.database.start()
        self.count_lost(before)

    def repair(self) -> None:
        self.site.database.set(**SERVER_DEFAULTS)

    run_goes_on: ClassVar[bool] = False


class RunGoesOn(LogLost):
    """The run outlives the commits."""

    name = "commits lost, the run goes on"
    run_goes_on = True

    def settings(self) -> Mapping[str, str]:
        return WITHOUT_REDIS if self.chance.random() < 0.5 else {}


class NewRun(LogLost):
    """The run ends with the server, and a new run starts."""

    name = "commits lost, a new run"
    in_short = False

    def settings(self) -> Mapping[str, str]:
        return WITHOUT_REDIS

    def happened(self, outcome: Outcome) -> bool:
        return outcome == KILLED and super().happened(outcome)


class NewRunWithRedis(NewRun):
    """As `NewRun`, with a Redis that has seen the first run."""

    name = "commits lost, a new run with the same Redis"

    def settings(self) -> Mapping[str, str]:
        return {}


class CopyRestored(CommitsLost):
    """The data directory is restored from the middle of the run; files and Redis are newer."""

    name = "an older copy of the database restored"
    in_short = False
    copied = False

    def strike(self, run: Import) -> None:
        del run
        self.site.database.snapshot(self.site.work / "copy")
        self.copied = True

    def repair(self) -> None:
        if not self.copied:
            return
        before = committed(self.site)
        self.site.database.restore(self.site.work / "copy")
        self.count_lost(before)


def committed(site: Site) -> Committed:
    """Read what is committed now."""
    with site.warehouse.engine.connect() as connection:
        names = {
            (table, number): bytes(digest)
            for table in ("keys", "users")
            for number, digest in connection.execute(text(f"SELECT id, digest FROM `{table}`"))
        }
        aliases = connection.execute(text("SELECT 'aliases', id, identity1_id, identity2_id FROM aliases"))
        revisions = connection.execute(text("SELECT 'revisions', revision, etag FROM revisions"))
        return Committed(names, frozenset(map(tuple, (*aliases, *revisions))))


KINDS: list[type[Fault]] = [RunGoesOn, NewRun, NewRunWithRedis, CopyRestored]

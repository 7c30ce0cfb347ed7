"""Faults in which the database server is read-only, does not answer, or ends statements for a while."""

import os
import signal
import threading
from collections.abc import Mapping

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from faults.fault import Fault
from faults.imports import Import, Limits, Outcome
from faults.site import NAME
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection.mysql_errors import error_number
from kmdb_dagster.warehouse.connection.server import autocommit

USER = "kmdb_faults"
GRANTS = "SELECT, INSERT, UPDATE, DELETE"
"""Rights of the importing user in docs/how-to/set-up.md. It cannot write to a read-only server."""

READ_ONLY = {1290, 1836}
LOST = {2006, 2013}


class ReadOnly(Fault):
    """Maintenance: the server is read-only for a while."""

    name = "server read-only for a while (1290, 1836)"
    thread: threading.Thread | None = None

    def settings(self) -> Mapping[str, str]:
        return {"DATABASE_URL": f"mysql://{USER}@127.0.0.1:{self.site.database.port}/{NAME}"}

    def arm(self) -> None:
        with autocommit(self.site.database.admin) as connection:
            connection.exec_driver_sql(f"CREATE USER IF NOT EXISTS {USER}@'%%'")
            connection.exec_driver_sql(f"GRANT {GRANTS} ON {NAME}.* TO {USER}@'%%'")

    def strike(self, run: Import) -> None:
        del run
        # In a thread, because the server waits for the run's transactions before it becomes read-only.
        self.thread = threading.Thread(target=self._hold, args=(0.5 + 2 * self.chance.random(),))
        self.thread.start()

    def repair(self) -> None:
        if self.thread:
            self.thread.join()

    def happened(self, outcome: Outcome) -> bool:
        return not READ_ONLY.isdisjoint(outcome.errors)

    def _hold(self, seconds: float) -> None:
        setting = "read_only" if self.site.database.server().maria else "super_read_only"
        self.site.database.set(**{setting: 1})
        threading.Event().wait(seconds)
        self.site.database.set(read_only=0)


class Frozen(Fault):
    """The server does not answer while its sockets stay open: SIGSTOP, then SIGCONT."""

    name = "server frozen for longer than the read timeout"
    in_short = False
    limits = Limits(read_timeout=2)
    resume: threading.Timer | None = None

    def strike(self, run: Import) -> None:
        del run
        pid = self.site.database.pid()
        os.kill(pid, signal.SIGSTOP)
        seconds = self.limits.read_timeout + 1 + self.chance.random()
        resume = self.resume = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
        resume.start()

    def repair(self) -> None:
        if self.resume:
            self.resume.join()

    def happened(self, outcome: Outcome) -> bool:
        return not LOST.isdisjoint(outcome.errors)


class StatementTime(Fault):
    """The server ends statements that take longer than a millisecond."""

    name = "max_statement_time of a millisecond"
    in_short = False
    in_a_moment = False

    def arm(self) -> None:
        maria = self.site.database.server().maria
        self.setting = "max_statement_time" if maria else "max_execution_time"
        self.site.database.set(**{self.setting: 0.001 if maria else 1})

    def repair(self) -> None:
        self.ended = self._ends_statements()
        self.site.database.set(**{self.setting: 0})

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.ended

    def _ends_statements(self) -> bool:
        """Return whether a session without its own settings is subject to the limit."""
        plain = create_engine(database_url(f"{self.site.database.url}/{NAME}"))
        try:
            with plain.connect() as connection:
                connection.exec_driver_sql(
                    "SELECT COUNT(*) FROM users a, users b, users c, users d WHERE SLEEP(0.01) = 0"
                )
        except DBAPIError as error:
            return error_number(error) in {1969, 3024, 1317}
        finally:
            plain.dispose()
        return False


KINDS: list[type[Fault]] = [ReadOnly, Frozen, StatementTime]

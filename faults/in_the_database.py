"""Faults of the database, of connections, of Redis and of the run's process."""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import text

from dev.processes import alive, wait_until
from dev.servers import REDIS, start
from faults.export import REVISIONS
from faults.fault import Fault
from faults.imports import KILLED, Import, Limits, Outcome
from faults.site import NAME
from kmdb_dagster.warehouse.schema.tables import FACTS

DEADLOCK, LOCK_WAIT = 1213, 1205
COUNT_DEADLOCKS = "SET GLOBAL innodb_monitor_enable = 'lock_deadlocks'"
DEADLOCKS = "SELECT `count` FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"


class RunKilled(Fault):
    """The process of the run is killed."""

    name = "run killed, at a statement"

    def strike(self, run: Import) -> None:
        run.kill()

    def happened(self, outcome: Outcome) -> bool:
        return outcome == KILLED


class DatabaseKilled(Fault):
    """The database server is killed, and restarted later."""

    name = "database server killed"
    killed = False
    restart: threading.Timer | None = None

    def strike(self, run: Import) -> None:
        del run
        self.killed = self.site.database.kill()
        restart = self.restart = threading.Timer(self.chance.random(), self.site.database.start)
        restart.start()

    def repair(self) -> None:
        if self.restart:
            self.restart.join()

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.killed


class RedisKilled(Fault):
    """Redis is killed, and unavailable until the run has ended."""

    name = "Redis killed"
    gone = False

    def strike(self, run: Import) -> None:
        del run
        os.kill(self.site.redis.process.pid, signal.SIGKILL)
        self.gone = wait_until(lambda: not alive(self.site.redis.process), 10)

    def repair(self) -> None:
        if not self.gone:
            return
        self.site.redis = start(REDIS, self.site.work / "redis", self.site.redis.port)

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.gone


class ConnectionCut(Fault):
    """The connection breaks in the middle of LOAD DATA."""

    name = "connection cut in LOAD DATA"
    in_a_moment = False

    def settings(self) -> Mapping[str, str]:
        return {"DATABASE_URL": f"mysql://root@127.0.0.1:{self.site.cutter.port}/{NAME}"}

    def arm(self) -> None:
        # The whole export is one group, with one LOAD DATA for each table.
        self.site.cutter.arm(self.chance.randint(1, len(FACTS)), self.chance.randint(1, 1500))

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.site.cutter.cuts > 0


class Rival(Fault):
    """Another session takes locks, in a thread of its own."""

    thread: threading.Thread | None = None

    def strike(self, run: Import) -> None:
        del run
        began = threading.Event()
        thread = self.thread = threading.Thread(target=self._hold, args=(began,))
        thread.start()
        began.wait(5)

    def repair(self) -> None:
        if self.thread:  # the run may have ended before its moment came
            self.thread.join()

    def _hold(self, began: threading.Event) -> None:
        with self.site.warehouse.engine.connect() as connection:
            self.take_locks(connection, began.set)
            connection.rollback()

    def take_locks(self, connection: Any, began: Callable[[], None]) -> None:
        """Take the locks, and signal when the run may continue."""
        raise NotImplementedError


class Deadlock(Rival):
    """Another session locks the map, and waits for locks of the run. It tries until it meets a load."""

    name = "deadlock (1213)"

    def arm(self) -> None:
        self.ended = threading.Event()
        with self.site.warehouse.engine.connect() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS rival (n INT) ENGINE = MyISAM"))
            connection.execute(text(COUNT_DEADLOCKS))
            self.before = connection.execute(text(DEADLOCKS)).scalar_one()

    def take_locks(self, connection: Any, began: Callable[[], None]) -> None:
        threading.Timer(0.05, began).start()
        while not self.ended.wait(0.005) and not self._meets_load(connection):
            connection.rollback()

    def repair(self) -> None:
        self.ended.set()
        super().repair()

    def happened(self, outcome: Outcome) -> bool:
        return DEADLOCK in outcome.errors

    def _meets_load(self, connection: Any) -> bool:
        # InnoDB rolls back the one of the two that has not written to a non-transactional table.
        connection.execute(text("INSERT INTO rival VALUES (1)"))
        connection.execute(text("SELECT * FROM map_state FOR UPDATE SKIP LOCKED"))
        connection.execute(text("SELECT * FROM warehouse_state FOR UPDATE"))
        return bool(connection.execute(text(DEADLOCKS)).scalar_one() > self.before)


class LockWait(Rival):
    """Another session locks the map for longer than the run waits."""

    name = "lock wait (1205)"
    limits = Limits(lock_wait=1)

    def take_locks(self, connection: Any, began: Callable[[], None]) -> None:
        threading.Timer(0.05, began).start()
        connection.execute(text("SELECT * FROM map_state FOR UPDATE"))
        threading.Event().wait(1.5)

    def happened(self, outcome: Outcome) -> bool:
        return LOCK_WAIT in outcome.errors


class PartitionDdl(Fault):
    """Time partitions are added while the run loads."""

    name = "partition DDL"

    def strike(self, run: Import) -> None:
        del run
        self.errors: list[Exception] = []
        self.thread = threading.Thread(target=self._add)
        self.thread.start()

    def _add(self) -> None:
        try:
            self.site.add_partition()
        except Exception as error:  # noqa: BLE001 - looked at in `happened`, in another thread
            self.errors.append(error)

    def repair(self) -> None:
        if self.thread:  # the run may have ended before its moment came
            self.thread.join()

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        if self.errors:
            raise self.errors[0]
        return True


class TwoAtOnce(Fault):
    """Another run over the same revisions starts."""

    name = "two imports at once"

    def strike(self, run: Import) -> None:
        del run
        self.other = Import(self.site.settings(), REVISIONS)

    def repair(self) -> None:
        self.outcome = self.other.finish()

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        if not self.outcome.success:
            raise AssertionError(f"the other import failed: {self.outcome.words}")
        return True


KINDS: list[type[Fault]] = [
    RunKilled,
    DatabaseKilled,
    RedisKilled,
    ConnectionCut,
    Deadlock,
    LockWait,
    PartitionDdl,
    TwoAtOnce,
]

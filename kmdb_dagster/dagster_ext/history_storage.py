"""Dagster's history (runs, events, sensor state) with retries: a short outage of its server or disk fails no run.

dagster.yaml names `History` as its storage. Dagster's own storages raise the first error. It ends a run, and the thread
of the code server that reports dead runs (docs/decisions/0028-history-outages.md). Events of assets are stored in
batches (`asset_events`), and backfills get titles (`backfill_titles`).
"""

import errno
import inspect
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import dagster as dg
import MySQLdb
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.schedules import ScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from kmdb_dagster.dagster_ext import asset_events
from kmdb_dagster.dagster_ext.backfill_titles import give_titles
from kmdb_dagster.dagster_ext.future_ticks import NeverInTheFuture
from kmdb_dagster.warehouse.connection.mysql_errors import TRANSIENT, error_number

log = logging.getLogger(__name__)

MAX_OUTAGE_SECONDS = 120.0
"""How long one read or write of the history is retried."""

SESSION_OPTIONS = {
    # Dagster writes UTC into columns that the server converts to its own zone, which lacks an hour a year (error 1292).
    "init_command": "SET time_zone='+00:00'",
    # A server that stops answering while its sockets stay open. `dagster instance migrate` may take minutes.
    "connect_timeout": "10",
    "read_timeout": "600",
    "write_timeout": "600",
}
"""Options of mysqlclient for the history."""

FULL_OR_BROKEN_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
SQLITE_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
}
NOT_RETRIED = {"dispose", "end_watch", "migrate", "optimize", "optimize_for_webserver", "upgrade", "watch"}
"""They change no history, or a user runs them and sees the error at once."""


_with_retries: ContextVar[bool] = ContextVar("_with_retries", default=True)


@contextmanager
def without_retries() -> Iterator[None]:
    """Raise the first error, where a user waits for an answer."""
    token = _with_retries.set(False)
    try:
        yield
    finally:
        _with_retries.reset(token)


class History(DagsterStorage[Any], ConfigurableClass):
    """Dagster's storage in SQLite (`base_dir`) or MySQL (`mysql_url`); each call is retried while it is unavailable."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, **config: str) -> None:
        self._inst_data = inst_data
        self._retries = _Retries()
        self._kept: DagsterStorage[Any] = self._retries.wrap(_open)(config)
        self._retries.wrap_methods(self._kept.run_storage, RunStorage)
        self._retries.wrap_methods(self._kept.event_log_storage, EventLogStorage)
        self._retries.wrap_methods(self._kept.schedule_storage, ScheduleStorage)
        give_titles(self._kept.run_storage)
        asset_events.store_in_batches(self._kept.event_log_storage, self._retries.wrap)
        NeverInTheFuture().apply(self._kept.schedule_storage)
        # The process that creates a run reads it: the daemon, the webserver, or a command.
        os.environ.setdefault(asset_events.BATCH_SIZE_VARIABLE, str(asset_events.BATCH_SIZE))
        super().__init__()  # type: ignore[no-untyped-call]  # Dagster's

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration from dagster.yaml."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The settings in dagster.yaml: one of the two."""
        return {
            "base_dir": dg.Field(dg.StringSource, is_required=False),
            "mysql_url": dg.Field(dg.StringSource, is_required=False),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, str]) -> "History":
        """Build it from dagster.yaml."""
        return cls(inst_data, **config_value)

    @property
    def event_log_storage(self) -> EventLogStorage[Any]:
        """Events."""
        return self._kept.event_log_storage

    @property
    def run_storage(self) -> RunStorage[Any]:
        """Runs."""
        return self._kept.run_storage

    @property
    def schedule_storage(self) -> ScheduleStorage[Any]:
        """State of sensors and schedules."""
        return self._kept.schedule_storage

    def register_instance(self, instance: Any) -> None:  # noqa: ANN401 - Dagster leaves its type open
        """Register the instance with the wrapped storage too."""
        super().register_instance(instance)
        if not self._kept.has_instance:
            self._kept.register_instance(instance)


def _open(config: Mapping[str, str]) -> DagsterStorage[Any]:
    if "mysql_url" not in config:
        return DagsterSqliteStorage.from_local(config["base_dir"])
    # It takes most of a second to import.
    from dagster_mysql.storage import DagsterMySQLStorage  # noqa: PLC0415

    return DagsterMySQLStorage(with_session_options(config["mysql_url"]))


def with_session_options(mysql_url: str) -> str:
    """Add `SESSION_OPTIONS` to the URL of the history, unless it has options of these names or another driver."""
    url = make_url(mysql_url)
    if url.get_driver_name() != "mysqldb":
        return mysql_url
    return url.set(query={**SESSION_OPTIONS, **url.query}).render_as_string(hide_password=False)


class _Retries:
    """Retries calls that fail because the history is unavailable. Calls inside a retried call are not retried."""

    def __init__(self) -> None:
        self._inside = threading.local()
        self._for_webserver = False

    def wrap_methods(self, storage: Any, interface: type) -> None:  # noqa: ANN401 - one of three types of Dagster's
        """Retry every method of one of Dagster's storage interfaces."""
        for name, _ in inspect.getmembers(interface, inspect.isfunction):
            if not name.startswith("_") and name not in NOT_RETRIED:
                setattr(storage, name, self.wrap(getattr(storage, name)))
        storage.optimize_for_webserver = self._without_retries_afterwards(storage.optimize_for_webserver)

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with retries."""

        @wraps(call)
        def retried(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - it passes on whatever Dagster gives
            if self._for_webserver or not _with_retries.get() or getattr(self._inside, "call", False):
                return call(*arguments, **named)
            self._inside.call = True
            try:
                return _retrying()(call, *arguments, **named)
            finally:
                self._inside.call = False

        return retried

    def _without_retries_afterwards(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Turn retries off in the webserver: an error at once is better than a page that loads for two minutes."""

        @wraps(call)
        def optimized(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
            self._for_webserver = True
            return call(*arguments, **named)

        return optimized


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception(is_outage),
        wait=wait_exponential(multiplier=0.5, max=5),
        stop=stop_after_delay(MAX_OUTAGE_SECONDS),
        before_sleep=_log_retry,
        reraise=True,
    )


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    kind = type(error).__name__
    log.warning("Dagster's history is unavailable (%s); attempt %d follows.", kind, state.attempt_number + 1)


def is_outage(error: BaseException) -> bool:
    """Return whether an error of the history, or one of its causes, is transient."""
    return any(_is_transient(one) for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or error_number(error) in TRANSIENT or _is_disk(error.orig)
    if isinstance(error, MySQLdb.Error):
        return error_number(error) in TRANSIENT
    return _is_disk(error)


def _is_disk(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        # The lowest byte is the code; the other bytes are details.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE_TRANSIENT
    return isinstance(error, OSError) and error.errno in FULL_OR_BROKEN_DISK

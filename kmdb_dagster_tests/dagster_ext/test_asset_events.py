"""Events of assets that are stored in one transaction are the same as those that Dagster stores one by one."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from dagster._core.events import (  # noqa: TID251 - what a run writes
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.storage.event_log.schema import (  # noqa: TID251 - what it becomes
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from kmdb_dagster.dagster_ext import history_storage
from kmdb_dagster.dagster_ext.asset_events import _store_in_index, in_one_transaction
from kmdb_dagster.dagster_ext.asset_keys import REVISION_ASSETS
from kmdb_dagster.dagster_ext.history_storage import History
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from testing.buckets import FolderOfRevisions, event
from testing.databases import empty_database
from testing.runs import import_range

TABLES = {"events": SqlEventLogStorageTable, "assets": AssetKeyTable, "tags": AssetEventTagsTable}
NOT_COMPARED = {("assets", "id"), ("assets", "create_timestamp")}
"""MySQL skips numbers, and it is its clock."""

INDEXED_TAG = "dagster/partition/day"
"""Dagster indexes few tags."""

MakeConfig = Callable[[], dict[str, str]]


@pytest.fixture(params=["sqlite", "mysql"])
def make_config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeConfig]:
    """Makes the configuration of a storage with nothing in it."""
    if request.param == "sqlite":
        yield lambda: {"base_dir": str(tmp_path / str(time.monotonic_ns()))}
        return
    server = request.getfixturevalue("server_url")
    with empty_database(server) as one, empty_database(server) as other:
        urls = iter([one, other])
        yield lambda: {"mysql_url": next(urls).replace("mysql://", "mysql+mysqldb://")}


@pytest.fixture
def history(make_config: MakeConfig) -> History:
    """A storage of this project's."""
    return History(None, **make_config())


def entry(event_type: DagsterEventType, data: Any, run_id: str, at: float) -> dg.EventLogEntry:
    found = DagsterEvent(event_type.value, "import_revisions", event_specific_data=data, step_key="import_steps")
    make = cast("Any", dg.EventLogEntry)
    return cast("dg.EventLogEntry", make(None, 10, "", run_id, at, job_name="import_revisions", dagster_event=found))


def planned(asset: str, partition: str, *, run_id: str = "run", at: float = 1e9) -> dg.EventLogEntry:
    data = AssetMaterializationPlannedData(dg.AssetKey(asset), partition)
    return entry(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, data, run_id, at)


def materialized(
    asset: str, partition: str, *, run_id: str = "run", at: float = 1e9 + 60, tags: dict[str, str] | None = None
) -> dg.EventLogEntry:
    made = dg.AssetMaterialization(asset, partition=partition, metadata={"lines": 3}, tags=tags)
    return entry(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made), run_id, at)


def instance_of(storage: Any) -> Any:
    return SimpleNamespace(event_log_storage=storage.event_log_storage)


def stored(storage: Any) -> dict[str, list[dict[str, Any]]]:
    """All that the tables of the index hold."""
    with storage.event_log_storage.index_connection() as connection:
        return {
            name: [
                {column: value for column, value in row._mapping.items() if (name, column) not in NOT_COMPARED}  # noqa: SLF001
                for row in connection.execute(select(table).order_by(table.c.id))
            ]
            for name, table in TABLES.items()
        }


def partitions(storage: Any, asset: str) -> set[str]:
    return set(storage.event_log_storage.get_materialized_partitions(dg.AssetKey(asset)))


EVENTS = [
    *(planned(asset, partition) for asset in ("a", "b") for partition in "123"),
    materialized("a", "1", tags={INDEXED_TAG: "1"}),
    materialized("b", "1", at=1e9 + 61),
    materialized("a", "2", at=1e9 + 62),
    materialized("b", "2", run_id="another", at=1e9 + 63),
    materialized("b", "3", at=1e9 + 64),
]


def test_a_batch_leaves_the_rows_that_dagsters_own_storage_leaves(make_config: MakeConfig) -> None:
    history, dagsters = History(None, **make_config()), history_storage._open(make_config())  # noqa: SLF001
    for one in EVENTS:
        dagsters.event_log_storage.store_event(one)
    history.event_log_storage.store_event_batch(EVENTS)
    ours, theirs = stored(history), stored(dagsters)
    assert len(ours["events"]) == len(EVENTS)
    assert [row["key"] for row in ours["tags"]] == [INDEXED_TAG]
    assert ours == theirs
    for run_id in ("run", "another"):
        logs = [storage.event_log_storage.get_logs_for_run(run_id) for storage in (history, dagsters)]
        assert logs[0] == logs[1] != []


def test_an_event_alone_leaves_the_rows_that_dagsters_own_storage_leaves(make_config: MakeConfig) -> None:
    history, dagsters = History(None, **make_config()), history_storage._open(make_config())  # noqa: SLF001
    for one in EVENTS:
        dagsters.event_log_storage.store_event(one)
        history.event_log_storage.store_event(one)
    assert stored(history) == stored(dagsters)


def test_what_is_logged_inside_a_block_is_stored_together_at_its_end(history: History) -> None:
    with in_one_transaction(instance_of(history)):
        with in_one_transaction(instance_of(history)):
            history.event_log_storage.store_event(materialized("a", "1"))
        history.event_log_storage.store_event(materialized("a", "2"))
        assert partitions(history, "a") == set()
    assert partitions(history, "a") == {"1", "2"}


def test_what_was_logged_before_an_error_is_stored(history: History) -> None:
    def fail_after_one() -> None:
        with in_one_transaction(instance_of(history)):
            history.event_log_storage.store_event(materialized("a", "1"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_after_one()
    assert partitions(history, "a") == {"1"}


def test_another_storage_stores_each_event_at_once(make_config: MakeConfig) -> None:
    dagsters = history_storage._open(make_config())  # noqa: SLF001
    with in_one_transaction(instance_of(dagsters)):
        dagsters.event_log_storage.store_event(materialized("a", "1"))
        assert partitions(dagsters, "a") == {"1"}


def test_events_of_other_kinds_are_stored_as_before(history: History) -> None:
    log_line = cast("Any", dg.EventLogEntry)(None, 10, "half of it is done", "run", 1e9)
    with in_one_transaction(instance_of(history)):
        history.event_log_storage.store_event(log_line)
        assert history.event_log_storage.get_logs_for_run("run") == [log_line]
    history.event_log_storage.store_event_batch([log_line, materialized("a", "1")])
    assert len(history.event_log_storage.get_logs_for_run("run")) == 3


def test_a_batch_that_a_deadlock_ends_is_stored_again_and_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = history.event_log_storage
    store, errors = storage._store_asset_event, [OperationalError("", {}, Exception(1213, "Deadlock found"))]  # noqa: SLF001

    def deadlock_at_first(*arguments: Any) -> None:
        if errors:
            raise errors.pop()
        store(*arguments)

    monkeypatch.setattr(storage, "_store_asset_event", deadlock_at_first)
    storage.store_event_batch([materialized("a", "1"), materialized("b", "1")])
    assert errors == []
    assert len(stored(history)["events"]) == 2


def test_ids_of_an_asset_ascend_in_the_order_of_commits(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """The UI counts partitions from the latest id that it has seen: no lower one may appear afterwards."""
    storage: Any = history.event_log_storage
    storage.store_event(materialized("a", "1"))
    store, threads = storage._store_asset_event, list[threading.Thread]()  # noqa: SLF001
    other = partial(storage.store_event, planned("a", "9", run_id="other"))

    def while_another_process_stores(*arguments: Any) -> None:
        if not threads:
            threads.append(threading.Thread(target=other))
            threads[0].start()
            threads[0].join(0.5)
            assert threads[0].is_alive()
        store(*arguments)

    monkeypatch.setattr(storage, "_store_asset_event", while_another_process_stores)
    storage.store_event_batch([materialized("a", "2"), materialized("a", "3")])
    threads[0].join()
    assert [row["partition"] for row in stored(history)["events"]] == ["1", "2", "3", "9"]


def test_the_first_batches_of_two_runs_wait_for_each_other_without_a_deadlock(
    history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage: Any = history.event_log_storage
    store, threads = storage._store_asset_event, list[threading.Thread]()  # noqa: SLF001
    other = partial(storage.store_event_batch, [planned(asset, "2", run_id="other") for asset in "ba"])

    def while_another_process_stores(*arguments: Any) -> None:
        if not threads:
            threads.append(threading.Thread(target=other))
            threads[0].start()
            threads[0].join(0.5)
        store(*arguments)

    monkeypatch.setattr(storage, "_store_asset_event", while_another_process_stores)
    storage.store_event_batch([planned(asset, "1") for asset in "ab"])
    threads[0].join()
    assert [row["partition"] for row in stored(history)["events"]] == ["1", "1", "2", "2"]
    assert caplog.messages == []


@pytest.fixture
def kept(kmdb: Kmdb, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """An instance with such a storage, which counts its transactions."""
    del kmdb  # for its environment
    home = tmp_path / "home"
    home.mkdir()
    config = "\n".join(f"      {name}: '{value}'" for name, value in make_config().items())
    module = f"    module: {history_storage.__name__}\n    class: History\n"
    (home / "dagster.yaml").write_text(f"storage:\n  custom:\n{module}    config:\n{config}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return open_instance()


def test_a_run_records_its_assets_in_a_transaction_for_all_that_it_planned_and_three_for_each_group(
    kept: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision in (1, 2, 3):
        bucket.put(revision, event("visited site"))
    batches: list[int] = []

    def count(storage: Any, connection: Any, events: Any) -> None:
        batches.append(len(events))
        _store_in_index(storage, connection, events)

    monkeypatch.setattr("kmdb_dagster.dagster_ext.asset_events._store_in_index", count)
    assert import_range(kept, kmdb, 1, 3).success
    assert batches[0] == 15
    assert batches[1:] == [6, 3, 6]
    assert [kept.get_materialized_partitions(key) for key in REVISION_ASSETS] == [{"1", "2", "3"}] * 5

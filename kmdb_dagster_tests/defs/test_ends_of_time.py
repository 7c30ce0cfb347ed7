"""Facts and aliases at the first and the last possible second, through everything that reads them."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from kmdb_dagster.analysis import Event, Property, connect
from kmdb_dagster.analysis.views import create_event_view, create_people_view
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.maintenance.retention import apply_drop, read_drop
from testing.buckets import FolderOfRevisions, T, alias, event, property_set
from testing.revisions import misplaced, one, people, rows
from testing.runs import failure_of, import_range, run_job

EARLIEST, LATEST = 1, 253402300799
PARTITIONS = {"KMDB_MIN_DATE": "2014-04-01", "KMDB_MAX_DATE": "2014-05-01"}

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def imported(
    instance: dg.DagsterInstance,
    kmdb: Kmdb,
    bucket: FolderOfRevisions,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> Warehouse:
    """A person whose facts and aliases are at both ends; a later revision connects it to another."""
    for name, setting in PARTITIONS.items():
        monkeypatch.setenv(name, setting)
    run_job(instance, "partition_tables", {"ops": {"add_partitions": {"config": {"dry_run": False}}}})
    bucket.put(
        1, event("x", "b", LATEST, side="left"), event("x", "b", EARLIEST), property_set("b", LATEST, plan="pro")
    )
    bucket.put(2, alias("b", "a"), event("x", "a"), alias("c", "b", LATEST), alias("d", "b", EARLIEST))
    for revision in (1, 2, 1, 2):
        result = import_range(instance, kmdb, revision, revision)
        assert result.success, failure_of(result)
    return warehouse


def test_facts_at_the_ends_of_time_are_imported_and_moved(imported: Warehouse) -> None:
    assert set(people(imported.engine).values()) == {"a"}
    assert misplaced(imported.engine) == 0
    assert rows(imported.engine, "SELECT t FROM events ORDER BY t") == [
        (datetime(1970, 1, 1, 0, 0, 1),),  # noqa: DTZ001 - as in the tables
        (datetime.fromtimestamp(T, UTC).replace(tzinfo=None),),
        (datetime(9999, 12, 31, 23, 59, 59),),  # noqa: DTZ001 - as above
    ]


def test_checks_and_the_report_accept_the_ends_of_time(imported: Warehouse, instance: dg.DagsterInstance) -> None:
    del imported
    result = run_job(instance, "check_everything")
    assert result.success
    assert {check.check_name for check in result.get_asset_check_evaluations() if not check.passed} <= {
        "newest_event_is_recent"
    }


def test_realias_moves_facts_at_the_ends_of_time(imported: Warehouse, instance: dg.DagsterInstance) -> None:
    with imported.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM aliases")
    assert run_job(instance, "realias").success
    assert misplaced(imported.engine) == 0
    assert len(set(people(imported.engine).values())) == 4


def test_facts_of_the_first_second_are_dropped_and_those_of_the_last_are_kept(imported: Warehouse) -> None:
    apply_drop(imported.engine, read_drop(imported.engine, date(2014, 4, 1)))
    assert one(imported.engine, "SELECT COUNT(*) FROM events") == 2


def test_models_and_views_read_the_ends_of_time(imported: Warehouse, database: str) -> None:
    connect(database)
    assert Event.since("9999-12-31").count() == Event.before("1970-01-02").count() == 1
    assert str(Event.all().by_date().to_polars()["t"].max()) == "9999-12-31 23:59:59+00:00"
    assert Property.all().since("9999-12-31").to_arrow().num_rows == 2
    event_view, people_view = create_event_view(imported.engine, "x"), create_people_view(imported.engine)
    assert one(imported.engine, f"SELECT COUNT(*) FROM `{event_view.name}`") == 3  # noqa: S608 - ours
    assert one(imported.engine, f"SELECT COUNT(*) FROM `{people_view.name}`")  # noqa: S608 - ours

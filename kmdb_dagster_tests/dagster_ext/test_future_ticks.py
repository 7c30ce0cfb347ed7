"""Sensors and schedules continue after a clock that was years ahead is corrected."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.scheduler.instigation import (  # noqa: TID251 - what Dagster writes
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)

from dev.processes import wait_until
from kmdb_dagster.cli import main
from kmdb_dagster.dagster_ext.future_ticks import sensors_ahead
from kmdb_dagster.dagster_ext.instance import open_instance
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from testing.daemons import make_home, running_daemon
from testing.revisions import change

pytestmark = pytest.mark.xdist_group("daemon")

PATIENCE = 150.0
YEARS = 4e8


@pytest.fixture
def home(kmdb: Kmdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME."""
    del kmdb  # for its environment
    make_home(tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def sensor(instance: dg.DagsterInstance) -> Any:
    """The state of the sensor that imports; None if it never ticked."""
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    return states.get("new_revisions")


def ticked_at(instance: dg.DagsterInstance) -> float:
    state = sensor(instance)
    return (state.instigator_data.last_tick_timestamp or 0) if state else 0


def set_ahead(instance: dg.DagsterInstance, state: Any) -> None:
    """As if it had ticked while the clock was ahead."""
    then = time.time() + YEARS
    times = dict.fromkeys(("last_tick_timestamp", "last_tick_start_timestamp", "last_sensor_start_timestamp"), then)
    instance.update_instigator_state(state.with_data(state.instigator_data._replace(**times)))
    ids = state.instigator_origin_id, state.instigator_name
    tick = TickData(*ids, InstigatorType.SENSOR, TickStatus.SKIPPED, then, selector_id=state.selector_id)
    instance.create_tick(tick)


@pytest.mark.usefixtures("home")
def test_a_sensor_with_a_tick_in_the_future_ticks_again_and_keeps_its_cursor(tmp_path: Path) -> None:
    with open_instance() as instance:
        with running_daemon(tmp_path / "log"):
            assert wait_until(lambda: bool(ticked_at(instance)), PATIENCE)
        assert sensors_ahead(instance) == []
        assert "a clock was ahead" not in CliRunner().invoke(main, ["status"]).output
        before = sensor(instance)
        set_ahead(instance, before)
        assert [name for name, _ in sensors_ahead(instance)] == ["new_revisions"]
        said = CliRunner().invoke(main, ["status"]).output
        assert "a clock was ahead" in said
        assert "new_revisions last ticked in the future" in said
        assert sensor(instance).instigator_data.cursor == before.instigator_data.cursor
        began = time.time()
        with running_daemon(tmp_path / "log"):
            assert wait_until(lambda: began < ticked_at(instance) < time.time() + 60, PATIENCE)
        assert sensors_ahead(instance) == []


@pytest.mark.usefixtures("home")
def test_a_schedule_with_a_tick_in_the_future_continues_from_now(tmp_path: Path) -> None:
    with open_instance() as instance:
        with running_daemon(tmp_path / "log"):
            assert wait_until(lambda: bool(ticked_at(instance)), PATIENCE)
        then = time.time() + YEARS
        origin = sensor(instance).origin
        schedule = InstigatorState(
            origin._replace(instigator_name="nightly"),
            InstigatorType.SCHEDULE,
            InstigatorStatus.RUNNING,
            ScheduleInstigatorData("0 3 * * *", then, then),
        )
        instance.add_instigator_state(schedule)
        ids = schedule.instigator_origin_id, schedule.selector_id
        for at in (then, time.time() - 5):
            instance.create_tick(
                TickData(ids[0], "nightly", InstigatorType.SCHEDULE, TickStatus.SKIPPED, at, selector_id=ids[1])
            )
        found: Any = instance.get_instigator_state(*ids)
        assert found.instigator_data.start_timestamp <= time.time()
        assert found.instigator_data.last_iteration_timestamp <= time.time()
        assert [tick.timestamp < time.time() for tick in instance.get_ticks(*ids, limit=1)] == [True]
        assert len(instance.get_ticks(*ids, after=time.time() + 60)) == 1


def test_the_status_reports_imports_in_the_future(kmdb: Kmdb, warehouse: Warehouse) -> None:
    del kmdb  # for its environment
    change(warehouse.engine, "INSERT INTO revisions (revision, imported_at) VALUES (1, '2014-01-01')")
    assert "a clock was ahead" not in CliRunner().invoke(main, ["status"]).output
    change(warehouse.engine, "INSERT INTO revisions (revision, error, failed_at) VALUES (2, 'x', '2099-01-01')")
    assert "1 revisions have a time of import or failure in the future" in CliRunner().invoke(main, ["status"]).output


def test_the_status_does_not_wait_for_a_history_that_is_unavailable(
    kmdb: Kmdb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kmdb  # for its environment
    text = (Path(__file__).parents[2] / "deploy" / "mysql" / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_MYSQL_URL", "mysql+mysqldb://root:hushhush@127.0.0.1:1/dagster")
    began = time.monotonic()
    said = CliRunner().invoke(main, ["status"])
    assert (said.exit_code, "hushhush" in said.output) == (0, False)
    assert "its history cannot be read" in said.output
    assert time.monotonic() - began < 30

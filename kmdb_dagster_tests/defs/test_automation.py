"""What is materialized by itself, by Dagster's own evaluation of the automation conditions."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.asset_keys import COLUMNAR_FACTS, FILTERS, REVISION_ASSETS, WAREHOUSE
from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME
from kmdb_dagster.definitions import definitions

REPORT, SIGNUPS = dg.AssetKey("import_report"), dg.AssetKey(["questions", "signups"])

pytestmark = pytest.mark.usefixtures("bare_environment")


class Evaluations:
    """Evaluates the conditions at one time after the other."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._defs = definitions()
        self._cursor: Any = None

    def requested_at(self, day: int, hour: int, minute: int) -> set[dg.AssetKey]:
        """Return the assets that are requested at a time of a month."""
        found = dg.evaluate_automation_conditions(
            self._defs,
            self._instance,
            cursor=self._cursor,
            evaluation_time=datetime(2026, 11, day, hour, minute, tzinfo=UTC),
        )
        self._cursor = found.cursor
        return {
            key
            for key in (REPORT, WAREHOUSE, FILTERS, COLUMNAR_FACTS, SIGNUPS, *REVISION_ASSETS)
            if found.get_num_requested(key)
        }


@pytest.fixture
def evaluations(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluations:
    """The conditions of all assets, one question included, before anything is imported."""
    (tmp_path / "questions.toml").write_text("signups = 'trend \"signed up\"'\n")
    monkeypatch.setenv("KMDB_QUESTIONS", str(tmp_path / "questions.toml"))
    instance.add_dynamic_partitions(PARTITIONS_NAME, ["1", "2"])
    found = Evaluations(instance)
    assert found.requested_at(1, 4, 0) == set()
    return found


def materialized(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))


def test_the_night_makes_the_warehouse_with_filters_and_report_and_the_morning_the_questions(
    evaluations: Evaluations,
) -> None:
    assert evaluations.requested_at(1, 4, 46) == set()
    assert evaluations.requested_at(1, 4, 48) == {WAREHOUSE, FILTERS, COLUMNAR_FACTS, REPORT}
    assert evaluations.requested_at(1, 4, 50) == set()
    assert evaluations.requested_at(1, 6, 18) == {SIGNUPS}


def test_the_report_follows_a_warehouse_that_was_materialized_by_hand(
    evaluations: Evaluations, instance: dg.DagsterInstance
) -> None:
    materialized(instance, WAREHOUSE)
    assert evaluations.requested_at(1, 4, 10) == {REPORT}
    assert evaluations.requested_at(1, 4, 11) == set()


def test_an_import_requests_nothing(evaluations: Evaluations, instance: dg.DagsterInstance) -> None:
    for key in REVISION_ASSETS:
        materialized(instance, key, "1")
    assert evaluations.requested_at(1, 4, 30) == set()


def test_a_night_without_the_daemon_is_made_up_for_once(evaluations: Evaluations) -> None:
    assert evaluations.requested_at(3, 5, 0) == {WAREHOUSE, FILTERS, COLUMNAR_FACTS, REPORT, SIGNUPS}
    assert evaluations.requested_at(3, 5, 1) == set()

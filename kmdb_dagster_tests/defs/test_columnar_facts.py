"""The asset `columnar_facts` and its check, by real runs."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.definitions import build_defs, definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.settings import load_settings
from testing.buckets import FolderOfRevisions, alias, event
from testing.runs import import_range


def materialized(instance: dg.DagsterInstance) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """Materialize the asset with its check. Return its metadata, and what the check found."""
    job = definitions().resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("columnar_facts")])
    (made,) = result.asset_materializations_for_node("columnar_facts")
    (checked,) = result.get_asset_check_evaluations()
    return {name: value.value for name, value in made.metadata.items()}, checked


def test_the_asset_shows_what_it_wrote_and_its_check_passes(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    bucket.put(1, event("came", "bob", plan="pro"), alias("bob", "b2"), event("went", "anna"))
    assert import_range(instance, kmdb, 1, 1).success
    shown, checked = materialized(instance)
    assert (shown["events"], shown["properties"], shown["dagster/row_count"]) == (2, 1, 3)
    assert (shown["revisions"], shown["newest_revision"]) == (1, 1)
    assert shown["files_written"] > 0 < shown["bytes_written"]
    assert checked.passed
    again, checked = materialized(instance)
    assert (again["files_written"], again["events"]) == (0, 2)
    (damaged,) = kmdb.settings().columnar_folder.glob("facts/events-*.parquet")
    damaged.unlink()
    assert materialized(instance)[1].passed


def test_the_setting_turns_the_asset_and_its_check_off(bare_environment: None) -> None:  # noqa: ARG001 - for what it does
    found = build_defs(load_settings(KMDB_COLUMNAR="no")).resolve_asset_graph()
    assert dg.AssetKey("columnar_facts") not in found.get_all_asset_keys()
    assert "columnar_agrees_with_ledger" not in {key.name for key in found.asset_check_keys}


@pytest.mark.parametrize("url", ["{}", "file://{}"])
def test_a_folder_is_a_path_or_a_file_url(bare_environment: None, tmp_path: Path, url: str) -> None:  # noqa: ARG001 - as above
    assert load_settings(KMDB_COLUMNAR_URL=url.format(tmp_path)).columnar_folder == tmp_path
    assert load_settings(KMDB_DATA_DIR=tmp_path).columnar_folder == tmp_path / "columnar"

"""Dagster's own configuration: dagster.yaml for the first minutes, deploy/mysql/dagster.yaml for production."""

import os
import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own, for one call here

from kmdb_dagster.dagster_ext.instance import open_instance, require_daemon
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, SettingsError
from kmdb_dagster.settings import database_url
from testing.buckets import FolderOfRevisions, event
from testing.databases import named_database
from testing.instance_files import CELERY, MYSQL, SQLITE
from testing.runs import import_range


def test_the_two_dagster_yaml_differ_in_their_storage_only() -> None:
    one, other = (yaml.safe_load(path.read_text()) for path in (SQLITE, MYSQL))
    assert list(one["storage"]["custom"].pop("config")) == ["base_dir"]
    assert list(other["storage"]["custom"].pop("config")) == ["mysql_url"]
    assert one == other


def test_the_dagster_yaml_of_celery_differs_in_the_launcher_only() -> None:
    one, many = (yaml.safe_load(path.read_text()) for path in (MYSQL, CELERY))
    assert (one.pop("run_launcher")["class"], many.pop("run_launcher")["class"]) == ("RunLauncher", "CeleryLauncher")
    del many["compute_logs"]
    for name in ("start_timeout_seconds", "cancel_timeout_seconds"):
        one["run_monitoring"].pop(name, None)
        del many["run_monitoring"][name]
    assert one == many


def test_the_default_dagster_yaml_keeps_the_history_below_dagster_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare_environment: None
) -> None:
    del bare_environment
    monkeypatch.chdir(tmp_path)
    shutil.copy(SQLITE, tmp_path)
    with open_instance() as instance:
        instance.add_dynamic_partitions("km_revision", ["1"])
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
    assert list((tmp_path / "var" / "dagster").iterdir())


def test_an_import_runs_with_the_history_on_mysql(
    tmp_path: Path, kmdb: Kmdb, bucket: FolderOfRevisions, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(MYSQL, home)
    bucket.put(1, event("visited site"))
    with named_database(server_url, f"kmdb_test_dagster_{os.getpid()}") as url:
        full = database_url(url).render_as_string(hide_password=False)
        monkeypatch.setenv("DAGSTER_MYSQL_URL", full)
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        with open_instance() as instance:
            assert import_range(instance, kmdb, 1, 1).success
        with open_instance() as instance:
            assert instance.get_materialized_partitions(dg.AssetKey("events")) == {"1"}


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("home", ["relative", "/nowhere/at/all"])
def test_a_dagster_home_that_is_not_a_folder_is_an_error(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(SettingsError, match=f"DAGSTER_HOME is '{home}'"):
        open_instance()


@pytest.mark.usefixtures("bare_environment")
def test_a_missing_dagster_home_is_an_error_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match="DAGSTER_HOME is not set"):
        open_instance()


def test_without_a_daemon_the_message_names_the_command(instance: dg.DagsterInstance) -> None:
    with pytest.raises(PermanentError, match="Start `kmdb ui`"):
        require_daemon(instance)

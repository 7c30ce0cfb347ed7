"""The definitions of Dagster, pinned: a renamed asset is a visible diff here."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import kmdb_dagster
from kmdb_dagster.definitions import build_defs, definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import SettingsError
from kmdb_dagster.settings import load_settings

PACKAGE = Path(kmdb_dagster.__file__).parent
PROGRAMS = Path(sys.executable).parent
FIVE = ["events", "parsed_events", "properties", "raw_revisions", "user_map"]

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def repository() -> dg.RepositoryDefinition:
    """The code location as Dagster sees it."""
    found = definitions().get_repository_def()
    assert isinstance(found, dg.RepositoryDefinition)
    return found


def test_the_names_of_all_definitions_are_pinned(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    assert sorted(key.to_user_string() for key in graph.get_all_asset_keys()) == sorted(
        [
            *FIVE,
            "columnar_facts",
            "filters",
            "import_report",
            "kissmetrics_bucket",
            "outstanding_revisions",
            "warehouse",
        ]
    )
    assert sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")) == [
        "apply_filters",
        "ask",
        "build_indexes",
        "change_filters",
        "check_everything",
        "drop_indexes",
        "drop_partitions",
        "forget",
        "import_outstanding",
        "import_range",
        "import_revisions",
        "partition_tables",
        "purge_history",
        "realias",
        "record_loaded",
        "scan_bucket",
    ]
    assert sorted(sensor.name for sensor in repository.sensor_defs) == [
        "alerts",
        "every_night",
        "new_revisions",
        "unrecorded_revisions",
    ]
    assert sorted(schedule.name for schedule in repository.schedule_defs) == [
        "cover_the_future",
        "purge_every_night",
    ]
    assert sorted(key.to_user_string() for key in graph.asset_check_keys) == [
        "columnar_facts:columnar_agrees_with_ledger",
        "events:facts_agree_with_ledger",
        "events:lines_accounted_for",
        "filters:filters_in_force",
        "warehouse:bookkeeping_agrees",
        "warehouse:facts_agree_with_ledger",
        "warehouse:facts_agree_with_parquet",
        "warehouse:facts_under_their_person",
        "warehouse:future_is_covered",
        "warehouse:ids_belong_to_names",
        "warehouse:indexes_are_there",
        "warehouse:lines_accounted_for",
        "warehouse:newest_event_is_recent",
        "warehouse:no_failed_or_missing_revisions",
        "warehouse:squished_people",
    ]


def test_every_asset_has_a_description_and_an_owner(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.owners == ["team:data"]
        assert node.kinds
        assert node.group_name == "kissmetrics"


def test_jobs_sensors_and_schedules_have_a_description(repository: dg.RepositoryDefinition) -> None:
    for job in repository.get_all_jobs():
        assert job.description or job.name.startswith("__")
    assert all(sensor.description for sensor in repository.sensor_defs)
    assert all(schedule.description for schedule in repository.schedule_defs)


def test_the_five_assets_share_partitions_and_backfill_policy() -> None:
    settings = load_settings().model_copy(update={"revisions_per_run": 7})
    graph = build_defs(settings).resolve_asset_graph()
    for name in FIVE:
        node = graph.get(dg.AssetKey(name))
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "km_revision"
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(7)


def test_lineage_goes_from_the_bucket_to_the_report() -> None:
    graph = definitions().resolve_asset_graph()
    names = [*FIVE, "warehouse", "import_report"]
    parents = {name: sorted(key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys) for name in names}
    assert parents == {
        "raw_revisions": ["kissmetrics_bucket"],
        "parsed_events": ["raw_revisions"],
        "user_map": ["parsed_events"],
        "events": ["user_map"],
        "properties": ["user_map"],
        "warehouse": ["events", "properties"],
        "import_report": ["warehouse"],
    }


def test_a_test_may_replace_the_resource() -> None:
    other = Kmdb()
    found = build_defs(load_settings(), resource_overrides={"kmdb": other}).resources
    assert found
    assert found["kmdb"] is other


def test_the_definitions_follow_a_setting_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = definitions()
    assert definitions() is first
    monkeypatch.setenv("KMDB_COLUMNAR", "no")
    assert definitions() is not first
    assert dg.AssetKey("columnar_facts") not in definitions().resolve_asset_graph().get_all_asset_keys()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMDB_REVISIONS_PER_RUN", "many")
    with pytest.raises(SettingsError, match="KMDB_REVISIONS_PER_RUN is 'many'"):
        definitions()


VALIDATE = ["dagster", "definitions", "validate", "-m", "kmdb_dagster.definitions"]


@pytest.mark.parametrize("command", [VALIDATE, ["dg", "check", "defs"]])
def test_dagsters_own_checks_pass_with_an_empty_environment(command: list[str], tmp_path: Path) -> None:
    done = _run(command, tmp_path)
    assert done.returncode == 0, done.stdout


def test_dagsters_own_check_names_a_wrong_setting(tmp_path: Path) -> None:
    done = _run(VALIDATE, tmp_path, KMDB_BATCH_SIZE="none")
    assert done.returncode != 0
    assert "KMDB_BATCH_SIZE is 'none'" in done.stdout


def test_importing_the_definitions_has_no_side_effects(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KMDB_REVISIONS_PER_RUN=many\n")
    code = (
        "import socket, sys\n"
        "def refuse(event, arguments):\n"
        "    assert event not in {'socket.connect', 'socket.getaddrinfo'}, event\n"
        "    assert event != 'open' or not str(arguments[0]).endswith('.env'), arguments\n"
        "sys.addaudithook(refuse)\n"
        "import kmdb_dagster.definitions\n"
        "from kmdb_dagster.questions.grammar import parse\n"
        "parse('drivers a b --with c')\n"
        "loaded = {'duckdb', 'matplotlib', 'pandas', 'polars', 'statsmodels'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    wrong = {**_bare(tmp_path), "DATABASE_URL": "nonsense", "KMDB_MIN_REVISION": "x"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=wrong, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    assert done.returncode == 0, done.stderr


def _bare(home: Path) -> dict[str, str]:
    """The environment of a process that has none; ``HOME`` keeps what programs note down out of the user's."""
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes", "DAGSTER_HOME": str(home)}


def _run(command: list[str], home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - Dagster's own programs
        [str(PROGRAMS / command[0]), *command[1:]],
        cwd=PACKAGE.parent,
        env={**_bare(home), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

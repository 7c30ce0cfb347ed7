"""A data folder belongs to one database, and a database knows its data folders and its bucket."""

import stat
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.marker_file import MARKER_FILE, Marker, read_marker, write_marker
from kmdb_dagster.settings import load_settings
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import check_bucket, claim_bucket, confirm_bucket, database_id
from kmdb_dagster.warehouse.connection.data_folders import claim_folder, confirm_folder, remove_folder
from kmdb_dagster.warehouse.maintenance.flush import flush
from testing.revisions import one

PLACES = ("s3://acme", "s3://acme/kissmetrics", "s3://acme at http://127.0.0.1:9000", "/srv/bucket")


@pytest.fixture
def engine(warehouse: Warehouse) -> Engine:
    """A database of this test's own."""
    return warehouse.engine


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A data folder that does not exist yet."""
    return Lake(tmp_path / "lake")


def count_folders(engine: Engine) -> int:
    return int(str(one(engine, "SELECT COUNT(*) FROM data_folders")))


def test_the_first_data_folder_is_bound_to_the_database(engine: Engine, lake: Lake) -> None:
    assert claim_folder(engine, lake) == claim_folder(engine, lake)
    assert count_folders(engine) == 1
    assert read_marker(lake.root) == Marker(claim_folder(engine, lake), database_id(engine))
    assert stat.S_IMODE((lake.root / MARKER_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(lake.root.stat().st_mode) == 0o700


def test_another_data_folder_is_refused_until_it_is_confirmed(engine: Engine, lake: Lake, tmp_path: Path) -> None:
    claim_folder(engine, lake)
    other = Lake(tmp_path / "other")
    for _ in range(2):
        with pytest.raises(PermanentError, match=f"has its files in .*:{lake.root}: .*run `kmdb confirm data-dir`"):
            claim_folder(engine, other)
    assert {Path(folder.path) for folder in confirm_folder(engine, other)} == {lake.root, other.root}
    assert claim_folder(engine, other) != claim_folder(engine, lake)


def test_a_missing_mount_of_the_data_folder_is_refused(engine: Engine, lake: Lake) -> None:
    claim_folder(engine, lake)
    lake.root.rename(lake.root.with_name("unmounted"))
    with pytest.raises(PermanentError, match="set KMDB_DATA_DIR to that folder, or mount it"):
        claim_folder(engine, lake)


def test_a_data_folder_of_another_database_is_refused_until_it_is_confirmed(engine: Engine, lake: Lake) -> None:
    lake.prepare()
    theirs = Marker(b"f" * 16, b"d" * 16)
    write_marker(lake.root, theirs)
    with pytest.raises(PermanentError, match="belongs to another database"):
        claim_folder(engine, lake)
    assert (read_marker(lake.root), count_folders(engine)) == (theirs, 0)
    (folder,) = confirm_folder(engine, lake)
    assert claim_folder(engine, lake) == folder.id != theirs.folder


def test_a_process_killed_after_marking_a_folder_does_not_block_it(engine: Engine, lake: Lake) -> None:
    lake.prepare()
    write_marker(lake.root, Marker(b"f" * 16, database_id(engine)))
    assert claim_folder(engine, lake) == b"f" * 16
    assert count_folders(engine) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"folder": "x", "database": "y"}', b"[]", b"\xff"])
def test_a_damaged_marker_file_is_an_error_with_the_remedy(engine: Engine, lake: Lake, content: bytes) -> None:
    lake.prepare()
    (lake.root / MARKER_FILE).write_bytes(content)
    with pytest.raises(PermanentError, match=f"{MARKER_FILE} is damaged.*`kmdb confirm data-dir`"):
        claim_folder(engine, lake)


def test_a_folder_that_no_longer_exists_is_removed_by_its_id(engine: Engine, lake: Lake) -> None:
    folder = claim_folder(engine, lake)
    with pytest.raises(PermanentError, match=rf"has no data folder 00\. It has: {folder.hex()}"):
        remove_folder(engine, b"\0")
    assert remove_folder(engine, folder) == []


def test_a_relative_data_folder_is_resolved_against_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(load_settings(KMDB_DATA_DIR="var/data").data_folder)
    assert found == [tmp_path / name / "var" / "data" for name in ("one", "two")]
    claim_folder(engine, Lake(found[0]))
    with pytest.raises(PermanentError, match="is new to database"):
        claim_folder(engine, Lake(found[1]))


@pytest.mark.parametrize("other", PLACES[1:])
def test_another_bucket_is_refused_until_it_is_confirmed(engine: Engine, other: str) -> None:
    check_bucket(engine, other)
    claim_bucket(engine, PLACES[0])
    for refuse in (check_bucket, claim_bucket):
        with pytest.raises(PermanentError, match=f"the bucket {PLACES[0]}, not to {other}. .*confirm bucket"):
            refuse(engine, other)
    claim_bucket(engine, PLACES[0])
    confirm_bucket(engine, other)
    claim_bucket(engine, other)
    with pytest.raises(PermanentError):
        check_bucket(engine, PLACES[0])


def test_a_flushed_database_belongs_to_no_bucket_and_keeps_its_data_folders(engine: Engine, lake: Lake) -> None:
    claim_bucket(engine, PLACES[0])
    folder = claim_folder(engine, lake)
    flush(engine)
    claim_bucket(engine, PLACES[1])
    assert claim_folder(engine, lake) == folder

"""An erasure reaches the columnar copy, or says where one is still to be searched."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kmdb_dagster.columnar.refresh import refresh
from kmdb_dagster.erasure import columnar_copy
from kmdb_dagster.erasure.erase import ErasureCounts, erase_people
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.erasure.site import REVISIONS, Erase, Site
from testing.revisions import one

ERASED = (b"bob", b"x1", b"x2", b"pro-bob")


def text_of(folder: Path) -> bytes:
    """Return all bytes and all cells in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    cells = [repr(pq.read_table(path).to_pylist()).encode() for path in files if path.suffix == ".parquet"]
    return b"".join([*(path.read_bytes() for path in files), *cells])


def incomplete(warehouse: Warehouse) -> int:
    return int(one(warehouse.engine, "SELECT COUNT(*) FROM forgotten_identities WHERE done_at IS NULL"))


@pytest.fixture
def site(warehouse: Warehouse, tmp_path: Path) -> Site:
    """An imported site with a columnar copy."""
    found = Site(warehouse, tmp_path, REVISIONS)
    found.import_revisions()
    refresh(warehouse.engine, Lake(found.lake), found.lake / "columnar")
    return found


def people_in(folder: Path) -> set[str]:
    tables = [pq.read_table(path) for path in folder.rglob("users-*.parquet")]
    return {str(name) for name in pa.concat_tables(tables).column("name").to_pylist()}


def test_an_erased_person_is_in_no_file_of_the_copy(site: Site) -> None:
    folder = site.lake / "columnar"
    assert {"bob", "x1", "x2", "anna"} <= people_in(folder)
    assert site.erase("bob").columnar_files > 0
    assert not any(name in text_of(folder) for name in ERASED)
    assert people_in(folder) == {"anna", "carl"}
    assert incomplete(site.warehouse) == 0
    assert one(site.warehouse.engine, "SELECT COUNT(*) FROM changed_days") == 0


def test_files_that_readers_may_use_do_not_outlive_an_erasure(site: Site) -> None:
    site.import_revisions(1)
    refresh(site.warehouse.engine, Lake(site.lake), site.lake / "columnar")
    site.erase("bob")
    assert people_in(site.lake / "columnar") == {"anna", "carl"}


def test_an_erasure_that_was_stopped_in_the_copy_is_completed_by_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(columnar_copy, "refresh", stop)
        with pytest.raises(KeyboardInterrupt):
            site.erase("bob")
    assert incomplete(site.warehouse) == 3
    Erase(site.lake)(site.warehouse)
    assert incomplete(site.warehouse) == 0
    assert people_in(site.lake / "columnar") == {"anna", "carl"}


def test_an_erasure_without_a_request_leaves_the_copy_alone(site: Site) -> None:
    before = sorted(site.lake.rglob("*.parquet"))
    assert Erase(site.lake)(site.warehouse) == ErasureCounts()
    assert sorted(site.lake.rglob("*.parquet")) == before


def test_an_erasure_waits_for_a_copy_in_another_folder(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    refresh(site.warehouse.engine, Lake(site.lake), other, again=True)
    with pytest.raises(PermanentError, match="elsewhere"):
        site.erase("bob")
    assert not list(site.lake.rglob("users-*.parquet"))
    assert incomplete(site.warehouse) == 3
    done = erase_people(site.warehouse, Lake(site.lake), numeric_apart=False, most_identities=10, columnar=other)
    assert done.columnar_files > 0
    assert incomplete(site.warehouse) == 0
    for folder in (other, site.lake / "columnar"):
        assert not any(name in text_of(folder) for name in ERASED)

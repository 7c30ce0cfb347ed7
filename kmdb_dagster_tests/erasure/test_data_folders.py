"""An erasure is complete when all data folders of the database were searched."""

from copy import copy
from pathlib import Path
from shutil import copytree

import pytest

from kmdb_dagster.erasure.erase import ErasureCounts
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.data_folders import claim_folder, confirm_folder, remove_folder
from kmdb_dagster_tests.erasure.site import REVISIONS, Erase, Site, bytes_below
from testing.revisions import change, one, people


def incomplete(warehouse: Warehouse) -> int:
    """Count the identities whose erasure is not complete."""
    return int(str(one(warehouse.engine, "SELECT COUNT(*) FROM forgotten_identities WHERE done_at IS NULL")))


def site_with_folder(site: Site, folder: str) -> Site:
    """Return the same bucket and warehouse with another data folder, as on another machine."""
    other = copy(site)
    other.lake = site.lake.with_name(folder)
    confirm_folder(site.warehouse.engine, Lake(other.lake))
    return other


def test_an_erasure_is_complete_when_every_data_folder_was_searched(warehouse: Warehouse, tmp_path: Path) -> None:
    here = Site(warehouse, tmp_path, REVISIONS)
    here.import_revisions(1, 2)
    there = site_with_folder(here, "other lake")
    there.import_revisions(2, 3)
    site_with_folder(here, "lake")
    for _ in range(2):
        with pytest.raises(
            PermanentError, match=r"is not complete: 1 data folders .*/other lake\. Run `kmdb forget --fin"
        ):
            here.erase("bob")
        assert incomplete(warehouse) > 0
    assert Erase(there.lake)(warehouse).parquet_files == 2
    assert incomplete(warehouse) == 0
    for site in (here, there):
        assert not any(name in bytes_below(site.lake) for name in (b"bob", b"x1", b"x2"))
        assert Erase(site.lake)(warehouse) == ErasureCounts()


def test_an_erasure_does_not_wait_for_a_removed_data_folder(warehouse: Warehouse, tmp_path: Path) -> None:
    here = Site(warehouse, tmp_path, REVISIONS)
    there = site_with_folder(here, "other lake")
    there.import_revisions(1, 2, 3)
    site_with_folder(here, "lake")
    with pytest.raises(PermanentError, match="--removed ID") as caught:
        here.erase("bob")
    gone = claim_folder(warehouse.engine, Lake(there.lake))
    assert gone.hex() in str(caught.value)
    remove_folder(warehouse.engine, gone)
    assert Erase(here.lake)(warehouse) == ErasureCounts()
    assert incomplete(warehouse) == 0


def test_a_data_folder_confirmed_later_is_searched_for_all_earlier_erasures(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    here = Site(warehouse, tmp_path, REVISIONS)
    here.import_revisions(1, 2, 3)
    old = here.lake.with_name("restored")
    copytree(here.lake, old)
    here.erase("bob")
    there = site_with_folder(here, "restored")
    assert incomplete(warehouse) == 3
    assert Erase(there.lake)(warehouse).parquet_files == 3
    assert not any(name in bytes_below(old) for name in (b"bob", b"x1", b"x2"))
    assert incomplete(warehouse) == 0


def test_an_erasure_without_the_parquet_of_older_imports_is_refused_until_folders_are_confirmed(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    site = Site(warehouse, tmp_path, REVISIONS)
    site.import_revisions(1, 2, 3)
    # As before data folders were noted.
    change(warehouse.engine, "UPDATE revisions SET imported_at = imported_at - INTERVAL 1 DAY")
    right, site.lake = site.lake, tmp_path / "elsewhere"
    with pytest.raises(PermanentError, match=r"lacks the Parquet of 3 imported revisions\. Nothing was removed"):
        site.erase("bob")
    assert "bob" in people(warehouse.engine)
    confirm_folder(warehouse.engine, Lake(right))
    with pytest.raises(PermanentError, match=f"1 data folders are still to be searched. They are: .*:{right}"):
        Erase(site.lake)(warehouse)
    assert Erase(right)(warehouse).parquet_files == 3

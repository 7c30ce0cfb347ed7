"""Erasure deletes raw copies and temporary files that may name a person."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.locks import writing
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.erasure.site import REVISIONS, Site
from testing.buckets import event


def test_an_erasure_deletes_leftover_temporary_files_of_any_age(warehouse: Warehouse, tmp_path: Path) -> None:
    site = Site(warehouse, tmp_path, REVISIONS)
    site.import_revisions(1)
    left = [site.lake / "raw" / "1" / ".x.json.abc", site.lake / "parsed" / ".1.parquet.def"]
    for path in left:
        path.write_bytes(b"bob")
    assert site.erase("bob").temporary_files == 2
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("content", "removed"),
    [
        (gzip.compress(event("came", "bob")), 1),
        (gzip.compress(event("came", "anna")), 0),
        (gzip.compress(event("came", "anna") * 1000)[:-9], 1),
        (event("came", "bob").decode().encode("utf-16"), 1),
        (b"<html>bob", 1),
    ],
    ids=["gzip", "gzip of others", "damaged gzip", "UTF-16", "HTML"],
)
def test_a_raw_copy_that_names_the_person_or_is_unreadable_is_deleted(
    warehouse: Warehouse, tmp_path: Path, content: bytes, removed: int
) -> None:
    site = Site(warehouse, tmp_path, [])
    Lake(site.lake).prepare()
    Lake(site.lake).store_raw(1, "etag", [content])
    assert site.erase("bob").raw_files == removed


def test_an_erasure_waits_for_files_that_a_run_is_writing(warehouse: Warehouse, tmp_path: Path) -> None:
    site = Site(warehouse, tmp_path, REVISIONS)
    site.import_revisions(1)
    late = site.lake / "raw" / "1" / "late.json"
    with ThreadPoolExecutor(1) as pool:
        with writing(site.lake):
            erasure = pool.submit(site.erase, "bob")
            with pytest.raises(TimeoutError):
                erasure.result(timeout=3)
            late.write_bytes(event("came", "bob"))
        assert erasure.result().raw_files == 2
    assert not late.exists()

"""Raw copies in gzip are searched for erased people."""

import gzip
from pathlib import Path

import pytest

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.digests import ErasedIdentities
from kmdb_dagster.erasure.files import must_delete
from testing.buckets import event

BOB = ErasedIdentities([digest("bob")])


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        (gzip.compress(event("came", "anna") + event("came", "bob")), True),
        (gzip.compress(event("came", "anna")), False),
        (gzip.compress(event("came", "anna"))[:-3], True),
    ],
    ids=["named", "not named", "cut off, so not known"],
)
def test_a_raw_copy_in_gzip_is_deleted_unless_it_certainly_names_no_erased_person(
    tmp_path: Path, content: bytes, *, holds: bool
) -> None:
    path = tmp_path / "e.json"
    path.write_bytes(content)
    assert must_delete(path, BOB) == holds

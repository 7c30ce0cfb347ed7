"""A bucket in a folder."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.source import FolderBucket, StoredObject
from kmdb_dagster.source.bucket import ObjectChangedError
from kmdb_dagster.source.folder import CHUNK
from testing.buckets import FolderOfRevisions

KEY = "revisions/7.json"


@pytest.fixture
def folder(bucket: FolderOfRevisions) -> FolderBucket:
    return FolderBucket(bucket.folder)


def found_in(folder: FolderBucket) -> StoredObject:
    found = folder.find(KEY)
    assert found is not None
    return found


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_all_files_below_the_folder_are_objects(bucket: FolderOfRevisions, folder: FolderBucket) -> None:
    bucket.put(7, b"seven")
    (bucket.folder / "status.csv").touch()
    (bucket.folder / "a" / "b").mkdir(parents=True)
    (bucket.folder / "a" / "b" / "c.txt").write_text("x")
    assert {(found.key, found.size) for found in folder.objects()} == {(KEY, 5), ("status.csv", 0), ("a/b/c.txt", 1)}


def test_a_lookup_and_the_listing_return_the_same_object(bucket: FolderOfRevisions, folder: FolderBucket) -> None:
    bucket.put(7, b"seven")
    assert list(folder.objects()) == [folder.find(KEY)]


@pytest.mark.parametrize("key", ["revisions/8.json", "nowhere/8.json", "revisions/7.json/8", "revisions", ""])
def test_a_key_that_is_not_a_file_is_not_found(bucket: FolderOfRevisions, folder: FolderBucket, key: str) -> None:
    bucket.put(7)
    assert folder.find(key) is None


@pytest.mark.parametrize("content", [b"", b"x", bytes(2 * CHUNK), bytes(2 * CHUNK + 1)], ids=len)
def test_a_file_is_read_unchanged(bucket: FolderOfRevisions, folder: FolderBucket, content: bytes) -> None:
    bucket.put(7, content)
    assert b"".join(folder.read(found_in(folder))) == content


def test_a_file_replaced_by_one_of_the_same_size_has_another_etag(
    bucket: FolderOfRevisions, folder: FolderBucket
) -> None:
    path = bucket.put(7, b"older")
    os.utime(path, ns=(0, 1))
    before = found_in(folder)
    bucket.put(7, b"newer")
    assert found_in(folder).etag != before.etag


def test_a_file_changed_before_reading_yields_no_bytes(bucket: FolderOfRevisions, folder: FolderBucket) -> None:
    bucket.put(7, b"older")
    found = found_in(folder)
    bucket.put(7, b"longer than before")
    with pytest.raises(ObjectChangedError, match=KEY):
        next(folder.read(found))


def test_a_file_changed_during_reading_is_an_error(bucket: FolderOfRevisions, folder: FolderBucket) -> None:
    path = bucket.put(7, bytes(3 * CHUNK))
    reading = folder.read(found_in(folder))
    next(reading)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ObjectChangedError):
        list(reading)


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_disappears_counts_as_changed(bucket: FolderOfRevisions, folder: FolderBucket, begun: bool) -> None:  # noqa: FBT001 - a parameter of the test
    path = bucket.put(7, bytes(3 * CHUNK))
    reading = folder.read(found_in(folder))
    if begun:
        next(reading)
    path.unlink()
    with pytest.raises(ObjectChangedError):
        list(reading)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_path_that_is_not_a_folder_is_an_error_that_names_the_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="KMDB_LOCAL_BUCKET") as caught:
        FolderBucket(tmp_path / name)
    assert repr(str(tmp_path / name)) in str(caught.value)


def test_an_unreadable_file_is_an_error_with_the_remedy(
    bucket: FolderOfRevisions, folder: FolderBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(7)
    found = found_in(folder)
    monkeypatch.setattr(Path, "open", failing(errno.EACCES))  # root may read everything
    with pytest.raises(PermanentError, match=f"{KEY} cannot be read: permission denied. Give this user read access"):
        list(folder.read(found))


def test_a_disk_error_is_transient(
    bucket: FolderOfRevisions, folder: FolderBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(7)
    monkeypatch.setattr(Path, "stat", failing(errno.EIO))
    with pytest.raises(TransientError, match=KEY):
        folder.find(KEY)


def test_an_unreadable_subfolder_is_an_error_and_not_empty(
    bucket: FolderOfRevisions, folder: FolderBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(7)
    monkeypatch.setattr("os.scandir", failing(errno.EACCES))
    with pytest.raises(PermanentError, match="permission denied"):
        list(folder.objects())

"""The files of the lake are replaced atomically."""

import errno
import os
import re
import resource
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.lake import Lake, RawFile

ETAG = "d41d8cd98f00b204e9800998ecf8427e-12"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "data")
    made.prepare()
    return made


def breaking_off() -> Iterator[bytes]:
    yield b"half"
    raise TransientError("the connection broke")


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def files(tmp_path: Path) -> list[str]:
    return sorted(re.sub(r"\+[0-9a-f]{8}", "", path.name) for path in tmp_path.rglob("*") if path.is_file())


def test_lake_folders_are_private_to_the_user(tmp_path: Path, lake: Lake) -> None:
    lake.prepare()
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()} == {
        "raw": 0o700,
        "parsed": 0o700,
    }


def test_raw_files_are_private_to_the_user(lake: Lake) -> None:
    path = lake.store_raw(1, ETAG, [b"x"]).path
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_raw_file_is_found_with_its_etag_and_size(lake: Lake) -> None:
    stored = lake.store_raw(57, ETAG, [b"ab", b"", b"c"])
    assert stored.path is not None
    assert stored.path.read_bytes() == b"abc"
    assert stored == lake.raw(57) == RawFile(stored.path, ETAG, 3, "352441c2")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=60))
def test_an_etag_of_any_characters_round_trips(tmp_path_factory: pytest.TempPathFactory, etag: str) -> None:
    lake = Lake(tmp_path_factory.getbasetemp() / "etags")
    lake.prepare()
    lake.store_raw(1, f"e{etag}", [b"x"])
    found = lake.raw(1)
    assert found is not None
    assert found.etag == f"e{etag}"


def test_one_flipped_bit_of_a_raw_copy_is_detected(lake: Lake) -> None:
    stored = lake.store_raw(57, ETAG, [b"ab", b"c"])
    assert stored.path is not None
    assert stored.is_intact()
    for bit in range(24):
        stored.path.write_bytes((int.from_bytes(b"abc") ^ 1 << bit).to_bytes(3))
        assert not stored.is_intact()


def test_a_raw_copy_of_an_older_version_is_accepted_without_a_checksum(lake: Lake) -> None:
    stored = lake.store_raw(57, ETAG, [b"abc"])
    assert stored.path is not None
    stored.path.rename(stored.path.with_name(f"{ETAG}.json"))
    found = lake.raw(57)
    assert found is not None
    assert (found.etag, found.crc32, found.is_intact()) == (ETAG, None, True)


def test_revisions_do_not_share_copies(lake: Lake) -> None:
    lake.store_raw(5, ETAG, [b"five"])
    lake.store_raw(57, ETAG, [b"fifty-seven"])
    lake.drop_raw(5)
    assert lake.raw(5) is None
    assert lake.raw(57) is not None


def test_no_folder_is_left_of_a_raw_copy_that_was_deleted(tmp_path: Path, lake: Lake) -> None:
    lake.store_raw(5, ETAG, [b"five"])
    lake.drop_raw(5)
    lake.mark_absent(6)
    lake.drop_raw(6)
    assert list((tmp_path / "data" / "raw").iterdir()) == []


def test_the_folder_of_a_raw_copy_stays_while_another_process_writes_into_it(tmp_path: Path, lake: Lake) -> None:
    lake.store_raw(5, ETAG, [b"five"])
    (tmp_path / "data" / "raw" / "5" / ".being written").touch()
    lake.drop_raw(5)
    assert lake.raw(5) is None
    assert lake.store_raw(5, ETAG, [b"five"]) == lake.raw(5)


def test_an_interrupted_copy_leaves_no_file(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(TransientError, match="the connection broke"):
        lake.store_raw(57, ETAG, breaking_off())
    assert lake.raw(57) is None
    assert files(tmp_path) == []


def test_an_interrupted_copy_keeps_the_older_one(tmp_path: Path, lake: Lake) -> None:
    older = lake.store_raw(57, "older", [b"whole"])
    with pytest.raises(TransientError):
        lake.store_raw(57, "newer", breaking_off())
    assert lake.raw(57) == older
    assert files(tmp_path) == ["older.json"]


def test_a_new_copy_replaces_the_older_one(tmp_path: Path, lake: Lake) -> None:
    lake.store_raw(57, "older", [b"old"])
    lake.store_raw(57, "newer", [b"new"])
    assert files(tmp_path) == ["newer.json"]


def test_an_absent_revision_stays_marked_until_a_copy_is_stored(tmp_path: Path, lake: Lake) -> None:
    lake.store_raw(57, "older", [b"old"])
    assert lake.mark_absent(57) == lake.raw(57) == RawFile(None, None, 0)
    assert files(tmp_path) == ["absent"]
    lake.store_raw(57, "newer", [b"new"])
    assert files(tmp_path) == ["newer.json"]


def test_the_newer_of_two_copies_is_used(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lake, "drop_raw", lambda *_, **__: None)
    for number, etag in enumerate(["c", "a", "b"]):
        path = lake.store_raw(57, etag, [b"x"]).path
        assert path is not None
        os.utime(path, (number, number))
    found = lake.raw(57)
    assert found is not None
    assert found.etag == "b"


def _store_with_little_room(root: Path, room: int) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        Lake(root).store_raw(57, ETAG, [bytes(100_000)] * 10)
    except KmdbError as error:
        return f"{type(error).__name__} {error}"
    return "stored"


def test_a_full_disk_is_an_error_with_the_path_and_the_remedy(tmp_path: Path, lake: Lake) -> None:
    with get_context("spawn").Pool(1) as pool:
        words = pool.apply(_store_with_little_room, (tmp_path / "data", 300_000))
    assert words.startswith("PermanentError")
    assert str(tmp_path / "data" / "raw" / "57") in words
    assert "Make room there, or set KMDB_DATA_DIR" in words
    assert lake.raw(57) is None
    assert files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_permanent_error(lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("tempfile.mkstemp", failing(number))
    with pytest.raises(PermanentError, match=f"{os.strerror(number)}.*Make room there, or set KMDB_DATA_DIR"):
        lake.store_raw(1, ETAG, [b"x"])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_read_only_folder_is_a_permanent_error(lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("tempfile.mkstemp", failing(number))
    with pytest.raises(PermanentError, match=f"{os.strerror(number)}.*Let this user write there"):
        lake.store_raw(1, ETAG, [b"x"])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOENT])
def test_other_disk_errors_are_transient(lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(Path, "replace", failing(number))
    with pytest.raises(TransientError, match=os.strerror(number)):
        lake.store_raw(1, ETAG, [b"x"])


def test_a_lake_that_cannot_be_created_is_an_error_with_the_folder_and_the_setting(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(PermanentError, match="KMDB_DATA_DIR") as caught:
        Lake(tmp_path / "data").prepare()
    assert str(tmp_path / "data") in str(caught.value)

"""The folder of the copy: whose it is, and who may read which file."""

import stat
from pathlib import Path

import pytest

from kmdb_dagster.columnar import refresh as refreshing
from kmdb_dagster.columnar.manifest import MANIFEST
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse.connection.bindings import known_folders
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster_tests.columnar.copies import LINES, Copy


def test_names_of_people_are_apart_and_for_this_user_only(copy: Copy) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    modes = {path.relative_to(copy.folder): stat.S_IMODE(path.stat().st_mode) for path in copy.folder.rglob("*")}
    (users,) = copy.manifest.paths("users")
    assert modes[Path(users)] == 0o600
    assert modes[Path(users).parent] == 0o700
    assert modes[Path("people/people.sql")] == 0o600
    for path in (*copy.folder.glob("facts/*"), copy.folder / MANIFEST, copy.folder / "facts.sql"):
        assert b"anna" not in path.read_bytes()


def test_a_copy_in_another_folder_is_refused_until_it_is_moved(copy: Copy, tmp_path: Path) -> None:
    copy.revisions.put(1, *LINES)
    copy.refresh()
    other = tmp_path / "other"
    with pytest.raises(PermanentError, match="kmdb columnar rebuild") as caught:
        refreshing.refresh(copy.engine, copy.lake, other)
    assert str(copy.folder) in str(caught.value)
    refreshing.refresh(copy.engine, copy.lake, other, again=True)
    with pytest.raises(PermanentError, match=str(other)):
        copy.refresh()


def test_a_copy_of_another_database_is_refused(copy: Copy) -> None:
    copy.refresh()
    mark = copy.folder / "kmdb-folder.json"
    with transaction(copy.engine) as connection:
        (here, *_) = [known.id for known in known_folders(connection) if known.path == str(copy.folder)]
    mark.write_text(f'{{"folder": "{here.hex()}", "database": "{"00" * 16}"}}')
    with pytest.raises(PermanentError, match="another database"):
        copy.refresh()

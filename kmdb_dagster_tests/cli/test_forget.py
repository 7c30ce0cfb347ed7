"""The command `kmdb forget`."""

import re
from pathlib import Path

import dagster as dg
import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.digest import digest
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions, alias, event
from testing.revisions import people
from testing.runs import import_range, run_job
from testing.terminal import Terminal

CASES = Path(__file__).parent.parent / "cases"

FOUND = "1 named, 1 found, 0 not found\n"
SIZE = "1 people with 2 identities, 2 events, 1 property values and 1 aliases are in the database. "


@pytest.fixture
def here(kmdb: Kmdb, bucket: FolderOfRevisions, instance: dg.DagsterInstance, tmp_path: Path) -> Terminal:
    """A terminal in a folder with an import of bob, who is also b2, and anna."""
    bucket.put(1, event("came", "bob", plan="pro"), event("came", "b2"), alias("bob", "b2"), event("came", "anna"))
    assert import_range(instance, kmdb, 1, 1).success
    return Terminal(tmp_path)


def forget(here: Terminal, database: str, *options: str, told: str = "", **settings: str) -> tuple[int, str, str]:
    lake = str(here.folder / "lake")
    return here.kmdb("forget", *options, standard_input=told, DATABASE_URL=database, KMDB_DATA_DIR=lake, **settings)


def test_forget_shows_counts_asks_and_erases(here: Terminal, database: str, warehouse: Warehouse) -> None:
    assert forget(here, database, "--dry-run", told="b2\n") == (0, FOUND + SIZE + REST, "Identity: b2\n")
    code, out, _ = forget(here, database, "-", "--dry-run", told="unknown\n")
    not_found = "1 named, 0 found, 1 not found (line 1)\n"
    assert (code, out) == (1, not_found + SIZE.replace("1", "0").replace("2", "0") + REST)
    refused = forget(here, database, told="b2\nn\n")
    assert refused[0] == 1
    assert set(people(warehouse.engine)) == {"anna", "bob", "b2"}
    code, out, _ = forget(here, database, told="b2\ny\n")
    removed = "Removed: 2 identities, 2 events, 1 properties, 1 aliases, 0 rejected lines, 0 raw files, 1 parquet files"
    assert (code, out.splitlines()[-1]) == (0, f"{removed}, 0 temporary files, 0 columnar files")
    assert people(warehouse.engine) == {"anna": "anna"}


REST = "Rejected lines and files are not counted yet.\n"


def test_forget_later_leaves_the_erasure_to_the_job(
    here: Terminal, database: str, warehouse: Warehouse, instance: dg.DagsterInstance
) -> None:
    (here.folder / "people.txt").write_bytes(b"\r\nbob\r\nanna\n")
    code, out, _ = forget(here, database, "--later", "--yes", "people.txt")
    assert (code, out.splitlines()[-1]) == (0, "Request recorded. Run the job `forget` in Dagster's UI to erase.")
    assert (
        "erasures to complete   2 identities: run `kmdb forget --finish`"
        in here.kmdb("status", DATABASE_URL=database).out
    )
    assert len(people(warehouse.engine)) == 3
    assert run_job(instance, "forget").success
    assert people(warehouse.engine) == {}
    assert "erasures to complete" not in here.kmdb("status", DATABASE_URL=database).out


def test_a_person_of_too_many_identities_needs_an_option(here: Terminal, database: str, warehouse: Warehouse) -> None:
    code, _, err = forget(here, database, "--yes", told="bob\n", KMDB_MOST_IDENTITIES="1")
    assert code == 1
    assert "kmdb: Not erased: 1 people with more than 1 identities (KMDB_MOST_IDENTITIES)" in err
    assert "bob" in people(warehouse.engine)
    assert forget(here, database, "--finish", "--large", KMDB_MOST_IDENTITIES="1")[0] == 0
    assert people(warehouse.engine) == {"anna": "anna"}


def test_forget_reads_a_list_from_a_spreadsheet_and_reports_lines_that_are_not_found(
    here: Terminal, database: str, warehouse: Warehouse, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    names = ("ann@example.com", "Bob@Example.com", "anna")
    bucket.put(2, *(event("came", name) for name in names))
    with dg.instance_for_test() as other:
        assert import_range(other, kmdb, 2, 2).success
    code, out, err = forget(here, database, "--yes", str(CASES / "names-from-a-spreadsheet.csv"))
    assert (code, out.splitlines()[0]) == (1, "3 named, 2 found, 1 not found (line 3)")
    assert err.lstrip().startswith("kmdb: 1 of 3 identities are not in the database: line 3. Compare their spelling")
    assert not any(name in out + err for name in names)
    assert set(people(warehouse.engine)) == {"anna", "bob", "b2"}
    # Whichever way it will be written: it stays out.
    assert {digest("cy@example.com"), digest('"cy@example.com"')} <= warehouse.erased_digests()


def test_an_identity_with_blanks_and_quotes_is_looked_up_as_written_first(
    here: Terminal, database: str, warehouse: Warehouse, kmdb: Kmdb, bucket: FolderOfRevisions
) -> None:
    bucket.put(2, event("came", '"q"'), event("came", "q"), event("came", "w "), event("came", "w"))
    with dg.instance_for_test() as other:
        assert import_range(other, kmdb, 2, 2).success
    code, out, _ = forget(here, database, "-", "--yes", told='"q"\nw \n')
    assert (code, out.splitlines()[0]) == (0, "2 named, 2 found, 0 not found")
    assert set(people(warehouse.engine)) == {"anna", "bob", "b2", "q", "w"}


def test_forget_in_another_working_directory_erases_nothing_and_names_the_data_folder(
    here: Terminal, database: str, warehouse: Warehouse
) -> None:
    elsewhere = Terminal(here.folder / "elsewhere")
    elsewhere.folder.mkdir()
    code, out, err = elsewhere.kmdb("forget", "--yes", "-", standard_input="bob\n", DATABASE_URL=database)
    assert (code, "Removed" in out) == (1, False)
    assert f"Data folder {elsewhere.folder / 'var' / 'data'} is new to database" in err
    assert f":{here.folder / 'lake'}: set KMDB_DATA_DIR to that folder" in err
    assert "bob" in people(warehouse.engine)
    assert not warehouse.erased_digests()


def test_forget_fails_until_the_erasure_is_finished_in_each_data_folder(here: Terminal, database: str) -> None:
    other = {"DATABASE_URL": database, "KMDB_DATA_DIR": str(here.folder / "other")}
    confirmed = here.kmdb("confirm", "data-dir", **other)
    assert (confirmed.code, "has its files in 2 data folders" in confirmed.out) == (0, True)
    code, _, err = forget(here, database, "--yes", told="bob\n")
    assert (code, "The erasure is not complete: 1 data folders are still to be searched" in err) == (1, True)
    finished = here.kmdb("forget", "--finish", **other)
    assert (finished.code, finished.out.startswith("Removed: 0 identities")) == (0, True)


def test_forget_removed_removes_a_data_folder_that_no_longer_exists(here: Terminal, database: str) -> None:
    other = {"DATABASE_URL": database, "KMDB_DATA_DIR": str(here.folder / "other")}
    here.kmdb("confirm", "data-dir", **other)
    _, _, err = forget(here, database, "--yes", told="bob\n")
    (gone,) = re.findall(r"--removed ID` \(here: ([0-9a-f]{32})\)", err)
    assert here.kmdb("confirm", "data-dir", "--removed", gone, DATABASE_URL=database).code == 0
    assert forget(here, database, "--finish")[0] == 0
    wrong = here.kmdb("confirm", "data-dir", "--removed", "other", DATABASE_URL=database)
    assert (wrong.code, "'other' is not the id of a data folder" in wrong.err) == (1, True)


@pytest.mark.parametrize(("told", "words"), [(b"\n\n", "The list has no identity"), (b"\xff", "is not UTF-8 text")])
def test_forget_refuses_a_list_without_an_identity(told: bytes, words: str, ready: Terminal) -> None:
    ended = ready.kmdb("forget", "-", standard_input=told)
    assert (ended.code, words in ended.err) == (1, True)

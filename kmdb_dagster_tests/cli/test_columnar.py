"""The command `kmdb columnar`."""

import json

import pytest

from kmdb_dagster.warehouse import Warehouse
from testing.buckets import alias, event
from testing.revisions import Revisions
from testing.terminal import Ended, Terminal


@pytest.fixture
def here(ready: Terminal, warehouse: Warehouse) -> Terminal:
    """A terminal, and a revision of bob and anna."""
    Revisions(warehouse, ready.folder).put(
        1, event("came", "bob", plan="pro"), event("went", "anna"), alias("bob", "b2")
    )
    return ready


def columnar(here: Terminal, *arguments: str) -> Ended:
    return here.kmdb("columnar", *arguments)


def test_a_refresh_says_what_the_copy_has_and_status_whether_it_is_current(
    here: Terminal, warehouse: Warehouse
) -> None:
    before = columnar(here, "status")
    assert before.code == 1
    assert "next step: `kmdb columnar refresh`" in before.out
    done = columnar(here, "refresh")
    assert done.out == "The columnar copy is current: 2 events and 1 properties, revision 1. 5 files were written.\n"
    found = columnar(here, "status", "--json")
    assert found.code == 0
    shown = json.loads(found.out)
    assert (shown["is_current"], shown["days_behind"], shown["newest_revision"]) == (True, 0, 1)
    Revisions(warehouse, here.folder).put(2, event("came", "bob"))
    assert columnar(here, "status").code == 1
    assert columnar(here, "rebuild").out.startswith("The columnar copy is current: 3 events and 1 properties")
    assert columnar(here, "status").code == 0
    assert "bob" not in found.out + done.out


def test_a_question_says_where_it_was_read(here: Terminal) -> None:
    def read_from(*options: str, **environment: str) -> str:
        return here.kmdb("ask", *options, "trend", **environment).err.splitlines()[-1]

    assert read_from() == "Read from the tables, as of revision 1."
    assert read_from("--from", "columnar") == "Read from the columnar copy, as of revision 1."
    assert read_from() == "Read from the columnar copy, as of revision 1."
    assert read_from("--from", "tables") == "Read from the tables, as of revision 1."
    assert read_from(KMDB_COLUMNAR="no") == "Read from the tables, as of revision 1."


def test_a_url_that_is_no_folder_is_refused(here: Terminal) -> None:
    refused = here.kmdb("columnar", "status", KMDB_COLUMNAR_URL="s3://bucket")
    assert refused.code == 2
    assert "expected a folder" in refused.err

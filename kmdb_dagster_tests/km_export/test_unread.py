"""Objects that may hold data and are not read are listed, with the remedy."""

import pytest

from kmdb_dagster.km_export.layout import read_listing
from kmdb_dagster.km_export.unread_keys import MAX_NAMED, describe_unread, unread


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["hello.txt", "index.csv", "status.csv", "revisions/1.json", "revisions/2.json.gz", "revisions/"],
        ["1.json", "2.json", "hello.txt"],
        ["revisions/1.json", "revisions/.DS_Store", ".cache/x.json/", "logs/2014.log"],
    ],
)
def test_every_object_of_a_bucket_as_kissmetrics_writes_it_is_read(keys: list[str]) -> None:
    assert describe_unread(read_listing(keys)) == ""


@pytest.mark.parametrize(
    "key",
    [
        "revisions/007.json",
        "revisions/2.json.part",
        "revisions/5.JSON",
        "revisions/sub/6.json",
        "revisions/x",
        "revisions/1.json.zst",
        "7.json",
        "old/7.json.bz2",
    ],
)
def test_objects_that_may_hold_data_are_listed(key: str) -> None:
    listing = read_listing(["revisions/1.json", key])
    assert unread(listing) == [key]
    assert f"Seen and not read: 1 object ({key})." in describe_unread(listing)


def test_an_export_below_a_folder_is_listed_with_the_prefix_to_set() -> None:
    words = describe_unread(read_listing([f"data/kissmetrics/revisions/{number}.json" for number in range(1, 200)]))
    start = (
        "Set KMDB_PREFIX=data/kissmetrics/ to read them. Seen and not read: 199 objects (data/kissmetrics/revisions/1."
    )
    assert words.startswith(start)
    assert words.endswith(", …).")
    assert words.count("revisions/") == MAX_NAMED
    assert "KMDB_PREFIX=a/ " in describe_unread(read_listing(["a/1.json"]))


def test_the_layout_before_october_2012_is_listed() -> None:
    words = describe_unread(read_listing(["2011/Jan/2011-01-01.json", "2011/Jan/2011-01-02.json", "revisions/1.json"]))
    assert words.endswith("Seen and not read: 2 objects (2011/Jan/2011-01-01.json, 2011/Jan/2011-01-02.json).")
    assert "layout before October 2012" in words
    assert "copy each of these files to `revisions/N.json`" in words

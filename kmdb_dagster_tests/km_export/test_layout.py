"""The bucket's layout: the corpus of listings, and round trips of keys, ranges and chunks."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.layout import (
    MAX_REVISION,
    ExportStatus,
    Listing,
    chunks,
    parse_range,
    parse_revision,
    parse_status,
    read_listing,
    revision_key,
)

CORPUS = Path(__file__).parent.parent / "corpus" / "bucket.jsonl"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in map(json.loads, CORPUS.read_text("utf-8").splitlines())
}
# Decided otherwise than in the corpus: a name with leading zeros is ignored, so that two files never claim 7. Gzip is
# read.
DECIDED = {
    "bucket-05": {"read": ["revisions/1.json.gz", "revisions/2.json"]},
    "bucket-06": {"read": ["revisions/7.json"], "ignored": ["revisions/007.json"]},
}
NUMBERS = st.integers(1, MAX_REVISION)
HEADER = "total_revisions,exported_revisions,max_exported_revision_timestamp,max_exported_revision_utc_date"


@pytest.mark.parametrize("name", CASES)
def test_a_listing_of_the_corpus_yields_its_revisions(name: str) -> None:
    expect = DECIDED.get(name, CASES[name]["expect"])
    listing = read_listing(CASES[name]["keys"])
    read = list(listing.keys)
    assert len(read) == expect.get("read_count", len(read))
    assert read[0] == expect.get("first", read[0])
    assert read[-1] == expect.get("last", read[-1])
    assert read == expect.get("read", read)
    assert sorted(listing.strange + listing.other) == sorted(expect.get("ignored", []))


def test_the_corpus_has_every_case() -> None:
    assert len(CASES) == 8


def test_a_status_of_the_corpus_is_read() -> None:
    status = parse_status(CASES["bucket-10"]["status_csv"])
    assert status is not None
    assert status.to_come == CASES["bucket-10"]["expect"]["not_yet_exported"]
    assert parse_status(CASES["bucket-11"]["status_csv"]) is None


@given(NUMBERS)
def test_a_key_round_trips(number: int) -> None:
    assert parse_revision(revision_key(number)) == number


@given(st.text())
def test_a_revision_has_one_key(text: str) -> None:
    number = parse_revision(f"revisions/{text}.json")
    assert number is None or revision_key(number) == f"revisions/{text}.json"


@pytest.mark.parametrize(
    "key",
    [
        "revisions/0.json",
        "revisions/01.json",
        "revisions/8388608.json",
        "revisions/99999999999999999999.json",
        "revisions/1.json\n",
        "revisions/\u0661.json",
        "revisions/+1.json",
        "revisions/1_0.json",
        "Revisions/1.json",
        "/revisions/1.json",
        "old/revisions/1.json",
        "1.json",
        "",
    ],
)
def test_a_key_that_is_not_a_revision_is_none(key: str) -> None:
    assert parse_revision(key) is None


def test_the_highest_number_is_a_revision() -> None:
    assert parse_revision("revisions/8388607.json") == MAX_REVISION


def test_a_listing_separates_strange_keys_from_other_files() -> None:
    keys = ["status.csv", "revisions/x", "revisions/2.json", "revisions/2.json", "a/1.json", "revisions/1.json"]
    listing = read_listing(keys)
    assert listing.revisions == (1, 2)
    assert listing.strange == ("revisions/x",)
    assert listing.other == ("a/1.json", "status.csv")


def test_a_plain_file_is_preferred_to_a_gzip_file_of_the_same_number() -> None:
    listing = read_listing(["revisions/2.json.gz", "revisions/1.json.gz", "revisions/1.json"])
    assert listing == Listing((1, 2), ("revisions/1.json.gz",), (), ("revisions/1.json", "revisions/2.json.gz"))


def test_a_flat_folder_of_numbers_is_read_only_if_nothing_is_in_revisions() -> None:
    flat = ["2.json", "10.json.gz", "status.csv", "revisions/"]
    assert read_listing(flat).keys == ("2.json", "10.json.gz")
    assert read_listing([*flat, "revisions/3.json"]).keys == ("revisions/3.json",)
    assert read_listing(["2.json", "a/3.json", "01.json", "8388608.json"]).keys == ("2.json",)


@given(st.sets(st.integers(1, 200)))
def test_gaps_and_revisions_cover_the_range(numbers: set[int]) -> None:
    listing = read_listing(map(revision_key, numbers))
    missing = {number for first, last in listing.gaps for number in range(first, last + 1)}
    assert not missing & numbers
    assert all(first <= last for first, last in listing.gaps)
    assert numbers | missing == (set(range(min(numbers), max(numbers) + 1)) if numbers else set())


@given(st.lists(NUMBERS | st.integers(1, 60)), st.integers(1, 20))
def test_chunks_contain_each_number_once(numbers: list[int], size: int) -> None:
    ranges = list(chunks(numbers, size))
    covered = [number for first, last in ranges for number in range(first, last + 1)]
    assert covered == sorted(set(numbers))
    assert all(1 <= last - first + 1 <= size for first, last in ranges)


@given(st.lists(st.integers(1, 60)), st.integers(1, 20))
def test_chunks_are_as_few_as_possible(numbers: list[int], size: int) -> None:
    ranges = list(chunks(numbers, size))
    for (first, last), (following, _) in pairwise(ranges):
        assert following > last + 1 or last - first + 1 == size


def test_a_chunk_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        list(chunks([1], 0))


@given(NUMBERS, NUMBERS)
def test_a_range_round_trips(one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert parse_range(f"{first}..{last}") == (first, last)
    assert parse_range(f" {first} ") == (first, first)


@pytest.mark.parametrize(
    "text",
    ["", "a", "1..", "..2", "1...3", "1-3", "3..1", "0", "0..4", "007", "1..8388608", "-1..2", "1.. 2", "9" * 5000],
)
def test_an_invalid_range_is_refused(text: str) -> None:
    with pytest.raises(PermanentError, match="Expected") as caught:
        parse_range(text)
    assert repr(text[:60]) in str(caught.value)


@given(st.text())
def test_any_text_is_a_range_or_an_error(text: str) -> None:
    try:
        first, last = parse_range(text)
    except PermanentError:
        return
    assert 1 <= first <= last <= MAX_REVISION


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_status_file_is_read(end: str) -> None:
    text = f"{HEADER}{end or chr(10)}275,270,1362921003,2013-03-10 13:10 GMT{end}"
    assert parse_status(text) == ExportStatus(total=275, exported=270)
    assert parse_status("\ufeff" + text) == ExportStatus(total=275, exported=270)


def test_the_columns_of_the_status_file_are_found_by_name() -> None:
    assert parse_status("exported_revisions,total_revisions\n4,9\n") == ExportStatus(total=9, exported=4)


def test_no_revision_is_expected_if_more_are_exported_than_made() -> None:
    assert ExportStatus(total=3, exported=5).to_come == 0


@pytest.mark.parametrize(
    "text", ["", "\n\n", HEADER, f"{HEADER}\n", f"{HEADER}\nmany,few,1,x\n", f"{HEADER}\n5", "1,2\n3,4", "\x00,\x00\n"]
)
def test_an_incomplete_status_file_is_unknown(text: str) -> None:
    assert parse_status(text) is None


@given(st.text(), st.text())
def test_no_status_file_raises_an_error(header: str, row: str) -> None:
    parse_status(f"{header}\n{row}")
    parse_status(f"{HEADER}\n{row}")
    parse_status(f"{HEADER}\n{'9' * 5000},1")

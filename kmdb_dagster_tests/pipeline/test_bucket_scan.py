"""The scan of a bucket, and the revisions that it requests."""

from collections.abc import Iterator

import pytest

from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.km_export.layout import ExportStatus, Listing, revision_key
from kmdb_dagster.pipeline import bucket_scan
from kmdb_dagster.pipeline.bucket_scan import (
    MAX_STATUS_BYTES,
    STATUS_CSV,
    advise_run_size,
    changed,
    list_bucket,
    never_attempted,
    probe_ahead,
)
from kmdb_dagster.source import StoredObject
from kmdb_dagster.warehouse.ledger.ledger import Status

STATUS = b"total_revisions,exported_revisions\n275,270\n"


class InMemory:
    """A bucket in memory that counts what it is asked for."""

    url = "memory"
    location = "memory"

    def __init__(self, *revisions: int, **others: bytes) -> None:
        self.content = {revision_key(number): b"x" for number in revisions} | others
        self.asked: list[str] = []
        self.failure: KmdbError | None = None

    def objects(self, below: str = "") -> Iterator[StoredObject]:
        """All of them, or those whose keys begin so."""
        found = ((key, content) for key, content in self.content.items() if key.startswith(below))
        return (StoredObject(key, f"etag of {key}", len(content)) for key, content in found)

    def find(self, key: str) -> StoredObject | None:
        """One, if it is there."""
        self.asked.append(key)
        content = self.content.get(key)
        return None if content is None else StoredObject(key, f"etag of {key}", len(content))

    def read(self, found: StoredObject) -> Iterator[bytes]:
        """Its bytes, or the failure."""
        if self.failure:
            raise self.failure
        yield self.content[found.key]


def status(revision: int, etag: str | None, *, imported: bool = True, failed: bool = False) -> tuple[int, Status]:
    return revision, Status(revision, etag, imported, failed)


def seen(etags: dict[int, str]) -> bucket_scan.BucketScan:
    return bucket_scan.BucketScan(etags, None, None)


def test_a_full_scan_finds_every_revision_with_its_etag() -> None:
    bucket = InMemory(7, 3, 100, **{"hello.txt": b"", "revisions/x": b"", "revisions/007.json": b""})
    scan = list_bucket(bucket, None)
    assert scan.etags == {number: f"etag of revisions/{number}.json" for number in (3, 7, 100)}
    assert scan.listing == Listing(
        (3, 7, 100),
        ("revisions/007.json", "revisions/x"),
        ("hello.txt",),
        ("revisions/3.json", "revisions/7.json", "revisions/100.json"),
    )
    assert scan.listing.gaps == ((4, 6), (8, 99))


def test_a_full_scan_leaves_out_revisions_below_the_lowest_wanted_one() -> None:
    assert set(list_bucket(InMemory(1, 49, 50, 51), 50).etags) == {50, 51}


def test_a_full_scan_of_an_empty_bucket_finds_nothing() -> None:
    assert list_bucket(InMemory(), None) == bucket_scan.BucketScan({}, Listing(), None)


def test_a_full_scan_reads_the_status_file() -> None:
    assert list_bucket(InMemory(1, **{STATUS_CSV: STATUS}), None).status == ExportStatus(275, 270)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"no,such\ncolumns,here\n", STATUS + bytes(MAX_STATUS_BYTES)]
)
def test_an_incomplete_status_file_is_no_error(content: bytes) -> None:
    scan = list_bucket(InMemory(1, **{STATUS_CSV: content}), None)
    assert scan.status is None
    assert set(scan.etags) == {1}


@pytest.mark.parametrize("failure", [PermanentError("access denied"), TransientError("a lost connection")])
def test_an_unreadable_status_file_is_no_error(failure: KmdbError) -> None:
    bucket = InMemory(1, **{STATUS_CSV: STATUS})
    bucket.failure = failure
    scan = list_bucket(bucket, None)
    assert scan.status is None
    assert set(scan.etags) == {1}


def test_a_huge_status_is_not_read() -> None:
    bucket = InMemory(**{STATUS_CSV: bytes(MAX_STATUS_BYTES + 1)})
    bucket.failure = AssertionError("it was read")  # type: ignore[assignment]  # fails the test, unlike our own errors
    assert list_bucket(bucket, None).status is None


@pytest.mark.parametrize("lookahead", [1, 3, 10])
def test_a_lookahead_stops_after_a_number_of_consecutive_misses(lookahead: int) -> None:
    bucket = InMemory(1, 2)
    assert probe_ahead(bucket, 2, lookahead) == seen({})
    assert bucket.asked == [revision_key(number) for number in range(3, 3 + lookahead)]


def test_a_lookahead_continues_after_fewer_consecutive_misses() -> None:
    bucket = InMemory(5, 8, 11)
    assert set(probe_ahead(bucket, 2, 3).etags) == {5, 8, 11}
    assert bucket.asked[-1] == revision_key(14)


def test_a_lookahead_does_not_see_beyond_a_gap_of_its_length() -> None:
    assert set(probe_ahead(InMemory(3, 7), 2, 3).etags) == {3}


def test_a_lookahead_finds_etags_and_no_earlier_revisions() -> None:
    bucket = InMemory(1, 2, 3)
    assert probe_ahead(bucket, 2, 1).etags == {3: "etag of revisions/3.json"}
    assert revision_key(2) not in bucket.asked


def test_a_lookahead_has_a_maximum_of_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_scan, "MAX_PROBES", 20)
    bucket = InMemory(*range(1, 100))
    assert set(probe_ahead(bucket, 2, 10).etags) == set(range(3, 23))


def test_a_replaced_file_has_changed_and_others_have_not() -> None:
    statuses = dict([status(1, "a"), status(2, "b"), status(3, "c")])
    assert changed({3: "new", 2: "b", 1: "new"}, statuses) == [1, 3]


def test_a_late_revision_in_a_gap_counts_as_changed() -> None:
    assert changed({5: "a"}, dict([status(5, None)])) == [5]


def test_a_failed_revision_is_left_to_the_operator() -> None:
    statuses = dict([status(5, None, imported=False, failed=True)])
    assert changed({5: "a"}, statuses) == []
    assert never_attempted([5], statuses, set()) == []


def test_a_revision_without_an_attempt_has_not_changed() -> None:
    assert changed({5: "a"}, {}) == []


def test_a_missing_revision_has_not_changed() -> None:
    assert changed({}, dict([status(5, "a")])) == []


def test_new_revisions_have_no_attempt_and_no_active_run() -> None:
    assert never_attempted([9, 1, 2, 3, 4], {1}, {3, 4}) == [2, 9]


def test_a_weak_and_a_strong_etag_are_equal() -> None:
    statuses = dict([status(1, 'W/"a"'), status(2, "b"), status(3, "W/c"), status(4, "d"), status(5, None)])
    assert changed({1: "a", 2: 'W/"b"', 3: '"c"', 4: "W/e", 5: "f"}, statuses) == [4, 5]


def test_a_larger_run_is_advised_for_very_many_tiny_revisions_only() -> None:
    tiny = bucket_scan.BucketScan(dict.fromkeys(range(1, 4001), "etag"), None, None, bytes=4000 * 12_000)
    assert advise_run_size(tiny, 4000, 200) == (
        "The revisions are small (12 kB on average): KMDB_REVISIONS_PER_RUN=1000 would import them in fewer runs."
    )
    assert advise_run_size(tiny, 1000, 200) == ""
    assert advise_run_size(tiny, 4000, 1000) == ""
    assert advise_run_size(tiny._replace(bytes=4000 * 1_500_000), 4000, 200) == ""
    assert advise_run_size(seen({1: "etag"}), 4000, 200) == ""


INDEX = b"filename,min_timestamp\nrevisions/1.json,1\nrevisions/2.json,1\nrevisions/5.json,1\nnonsense\n\xff\n"


def test_files_that_index_csv_lists_and_the_bucket_lacks_are_lost_and_others_are_unlisted() -> None:
    scan = list_bucket(InMemory(1, 3, **{"index.csv": INDEX}), None)
    assert (scan.lost(), scan.unlisted()) == ([2, 5], [3])
    assert scan.describe_index() == (
        "Restore lost files: index.csv lists revisions 2, 5, and the bucket lacks them. "
        "index.csv does not list revision 3: a copy, or it is older than they are."
    )


def test_a_bucket_that_agrees_with_its_index_or_has_none_is_not_described() -> None:
    assert list_bucket(InMemory(1, 2, 5, **{"index.csv": INDEX}), None).describe_index() == ""
    assert list_bucket(InMemory(1, 3), None).describe_index() == ""
    assert list_bucket(InMemory(5, **{"index.csv": INDEX}), 5).describe_index() == ""
    assert probe_ahead(InMemory(1), 0, 10).describe_index() == ""


def test_an_index_that_cannot_be_read_or_is_too_large_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = InMemory(3, **{"index.csv": INDEX})
    bucket.failure = TransientError("away")
    assert list_bucket(bucket, None).lost() == []
    bucket.failure = None
    monkeypatch.setattr(bucket_scan, "MAX_INDEX_BYTES", len(INDEX) - 1)
    assert list_bucket(bucket, None).lost() == []

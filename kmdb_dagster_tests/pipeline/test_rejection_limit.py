"""A revision with too many rejected lines fails as a whole, and changes nothing."""

import re
from pathlib import Path

import pytest

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.lake import Lake, ParsedFile
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.pipeline.rejection_limit import SMALL_FILE_LINES as SMALL
from testing.buckets import FolderOfRevisions, event
from testing.lakes import empty_lake, parse_into
from testing.revisions import content
from testing.steps import fetch, load, parse, resolve

CASES = Path(__file__).parent.parent / "cases"

GOOD = event("visited site")
BAD = b'{"_n":"ev","_p":"secret@example.com"}\n'
REPLACE = "Replace revisions/57.json in the bucket, then run import_outstanding."


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return empty_lake(tmp_path / "lake")


def refusal(lake: Lake, content: bytes, most: float) -> str:
    with pytest.raises(PermanentError) as caught:
        parse_into(lake, 57, content, most=most)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "rejected", "most"),
    [(200, 100, 0.5), (100, 29, 0.29), (300, 100, 1 / 3), (100, 0, 0.0), (100, 100, 1.0)],
)
def test_the_rejection_limit_is_inclusive(lake: Lake, lines: int, rejected: int, most: float) -> None:
    figures = parse_into(lake, 57, GOOD * (lines - rejected) + BAD * rejected, most=most)
    assert figures["rejected"] == rejected
    if rejected < lines:
        assert f"{rejected + 1} of the {lines} lines" in refusal(
            lake, GOOD * (lines - rejected - 1) + BAD * (rejected + 1), most
        )


def test_a_small_file_is_accepted_if_one_line_can_be_imported(lake: Lake) -> None:
    assert parse_into(lake, 57, GOOD + BAD * (SMALL - 2), most=0.0)["rejected"] == SMALL - 2
    assert f"{SMALL - 1} of the {SMALL} lines" in refusal(lake, GOOD + BAD * (SMALL - 1), 0.0)


@pytest.mark.parametrize("lines", [BAD, BAD * 200, b"\n" * 10 + BAD, BAD[:20], b"\0" * 5000])
def test_a_file_without_a_line_that_can_be_imported_is_refused_whatever_its_size(lake: Lake, lines: bytes) -> None:
    assert refusal(lake, lines, 0.99).startswith(f"{REPLACE} No line of revision 57 can be imported: the file ")
    assert parse_into(lake, 57, lines, most=1.0)["events"] == 0


@pytest.mark.parametrize("lines", [b"", b"\n", b" \r\n\n\t\n"])
def test_an_empty_or_blank_file_is_accepted(lake: Lake, lines: bytes) -> None:
    assert parse_into(lake, 57, lines, most=0.0)["rejected"] == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("utf16", "No line of revision 57 can be imported: the file looks like UTF-16 text. Save it as UTF-8."),
        ("html-error-page", "No line of revision 57 can be imported: the file looks like an HTML page"),
        (
            "json-array",
            "41 of the 42 lines of revision 57 are rejected.*looks like a JSON array. Write one object a line",
        ),
    ],
)
def test_a_file_that_is_not_an_export_fails_its_revision_and_names_the_format(
    lake: Lake, name: str, words: str
) -> None:
    assert re.match(f"{REPLACE} {words}", refusal(lake, (CASES / f"{name}.json").read_bytes(), 0.5))


@pytest.mark.parametrize("name", ["crlf-fine", "gzip-in-place"])
def test_an_export_with_crlf_or_in_gzip_is_read(lake: Lake, name: str) -> None:
    figures = parse_into(lake, 57, (CASES / f"{name}.json").read_bytes(), most=0.0)
    assert (figures["lines"], figures["events"]) == (40, 40)


def test_truncated_gzip_fails_its_revision(lake: Lake) -> None:
    with pytest.raises(PermanentError, match="gzip file is cut off"):
        parse_into(lake, 57, (CASES / "gzip-in-place.json").read_bytes()[:-9], most=1.0)


def test_the_refusal_has_counts_reasons_and_the_remedy_but_no_content(lake: Lake) -> None:
    words = refusal(lake, GOOD * 60 + BAD * 2 + b"secret\n" + BAD * 97, 0.25)
    assert "100 of the 160 lines of revision 57 are rejected" in words
    assert "more than KMDB_MAX_REJECTED_SHARE (0.25) allows" in words
    assert (
        "61 (timestamp_missing), 62 (timestamp_missing), 63 (invalid_json), 64 (timestamp_missing), "
        "65 (timestamp_missing)." in words
    )
    raw = lake.raw(57)
    assert raw is not None
    assert f"`kmdb inspect {raw.path}`" in words
    assert "raise KMDB_MAX_REJECTED_SHARE" in words
    assert "secret" not in words


def test_a_refused_revision_keeps_the_older_parquet_and_leaves_no_other_file(lake: Lake) -> None:
    parse_into(lake, 57, GOOD * 100, most=0.5)
    refusal(lake, BAD * 100, 0.5)
    path = lake.parsed(57)
    assert sum(batch.num_rows for batch in ParsedFile(path, 57).batches(1000)) == 100
    assert list(path.parent.iterdir()) == [path]


def bring_in(opened: Pipeline, revision: int) -> None:
    for step in (fetch, parse, resolve, load):
        step(opened, revision)


def test_a_refused_file_keeps_its_imported_rows(
    kmdb: Kmdb, bucket: FolderOfRevisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(57, *[GOOD] * 120)
    with kmdb.pipeline() as opened:
        bring_in(opened, 57)
        before, parquet = content(opened.warehouse.engine), opened.lake.parsed(57).read_bytes()
        assert len(before["events"]) == 120
        bucket.put(57, *[BAD] * 61, *[GOOD] * 59)
        fetch(opened, 57)
        with pytest.raises(PermanentError, match="61 of the 120 lines of revision 57 are rejected"):
            parse(opened, 57)
        assert content(opened.warehouse.engine) == before
        assert opened.lake.parsed(57).read_bytes() == parquet
        raw = opened.lake.raw(57)
        assert raw is not None
        assert raw.path is not None
        assert raw.path.read_bytes() == BAD * 61 + GOOD * 59
    monkeypatch.setenv("KMDB_MAX_REJECTED_SHARE", "0.6")
    with kmdb.pipeline() as opened:
        bring_in(opened, 57)
        after = content(opened.warehouse.engine)
        assert (len(after["events"]), len(after["rejected"])) == (59, 61)
        assert opened.lake.raw(57) is None

"""The sample: reproducible, complete, and without data of real people."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmdb_dagster.km_export.layout import parse_revision, parse_status, read_listing
from kmdb_dagster.sample import ODDITIES, sample_bucket, sample_revision
from kmdb_dagster.sample.clock import DAY, SPAN, TICK, start_of
from kmdb_dagster.sample.lines import escaped

OCTAL = re.compile(rb"(?<!\\)\\[0-3][0-7]{2}")
LINES = 5000
REFUSED = ("cut_off", "no_timestamp", "empty_identity")
# An address that does not begin like one of the reserved domains. A cut-off line may end inside one.
REAL_ADDRESS = re.compile(
    r"(?:https?://|https?%3A%2F%2F|@)(?!(?:[a-z]+\.)?example\.(?:com|net|org)\b|[a-z.]*$)", re.MULTILINE
)


def as_json(line: bytes) -> dict[str, Any] | None:
    """A line as strict JSON, octal escapes replaced by a letter; None if it is none."""
    try:
        read: dict[str, Any] = orjson.loads(OCTAL.sub(b"x", line))
    except orjson.JSONDecodeError:
        return None
    return read


def records(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        record = as_json(line)
        if record and record.get("_p") and "_t" in record:
            yield record


@cache
def late_revision() -> bytes:
    """A revision so far on that every stage of a journey has people in it."""
    return sample_revision(5000, lines=LINES)


@cache
def bucket() -> dict[str, bytes]:
    return dict(sample_bucket(120, 400, seed=5))


def test_a_sample_is_the_same_in_every_process_and_version() -> None:
    digest = blake2b(sample_revision(1234, lines=300), digest_size=8).hexdigest()
    assert digest == "f64794d305df701c"


@settings(max_examples=40)
@given(st.integers(1, 2**23 - 1), st.integers(0, 400), st.integers(0, 2**64))
def test_a_revision_of_the_sample_has_exactly_its_lines(number: int, lines: int, seed: int) -> None:
    content = sample_revision(number, lines=lines, seed=seed)
    assert content.count(b"\n") == lines
    assert content.endswith(b"\n") or not lines
    assert content == sample_revision(number, lines=lines, seed=seed)


def test_samples_of_other_seeds_and_revisions_differ() -> None:
    contents = {sample_revision(number, lines=50, seed=seed) for number in (1, 2, 3) for seed in (1, 2, 3)}
    assert len(contents) == 9


def test_a_sample_bucket_holds_all_revisions_and_their_status() -> None:
    files = dict(sample_bucket(12, 40, first=140, seed=9))
    assert list(files)[:3] == ["hello.txt", "index.csv", "status.csv"]
    listing = read_listing(files)
    assert listing.gaps == ((146, 146),)
    assert (listing.revisions[0], listing.revisions[-1]) == (140, 151)
    for number in listing.revisions:
        assert files[f"revisions/{number}.json"] == sample_revision(number, lines=40, seed=9)


def test_a_small_sample_bucket_has_no_gap() -> None:
    assert read_listing(key for key, _ in sample_bucket(9, 1)).revisions == tuple(range(1, 10))


def test_the_small_files_of_a_sample_bucket_are_as_km_writes_them() -> None:
    files = dict(sample_bucket(12, 5))
    status = parse_status(files["status.csv"].decode())
    assert status is not None
    assert (status.total, status.to_come) == (12, 0)
    header, *rows = files["index.csv"].decode().splitlines()
    assert header == "filename,min_timestamp,max_timestamp,min_utc_date,max_utc_date"
    assert [row.split(",")[0] for row in rows] == [key for key in files if parse_revision(key)]
    for row in rows:
        _, low, high, low_date, _ = row.split(",")
        assert 1 <= int(low) % TICK <= 3
        assert int(low) < int(high)
        assert re.fullmatch(r"2014-01-01 \d\d:\d\d GMT", low_date)


@pytest.mark.parametrize(("revisions", "lines", "first"), [(1, 1, 0), (2, 1, 2**23 - 1), (1, -1, 1), (-1, 1, 1)])
def test_an_invalid_size_of_a_sample_bucket_is_refused(revisions: int, lines: int, first: int) -> None:
    with pytest.raises(ValueError, match="numbers go from 1"):
        list(sample_bucket(revisions, lines, first=first))


def test_the_sample_holds_every_event() -> None:
    names = Counter(record.get("_n") for record in records(late_revision()))
    for name in (
        "visited site", "page view", "search engine hit", "ad campaign hit", "saw headline", "searched berths",
        "signed up", "activated", "booked berth", "upgraded", "billed", "cancelled",
    ):  # fmt: skip
        assert names[name], name


def test_the_sample_holds_events_property_sets_and_aliases_in_real_proportions() -> None:
    found = list(records(late_revision()))
    aliases = sum("_p2" in record for record in found)
    events = sum("_n" in record for record in found)
    assert 0.003 < aliases / LINES < 0.05
    assert 0.01 < (len(found) - aliases - events) / LINES < 0.2
    assert events / LINES > 0.8


def test_sample_lines_are_written_as_km_writes_them() -> None:
    ordinary = [line for line in late_revision().split(b"\n") if line.endswith(b"}") and b"_t" in line]
    assert len(ordinary) > 0.99 * LINES
    assert all(re.search(rb'[{,]"_t":\d{10}}$', line) for line in ordinary)
    first_fields = Counter(line[: line.index(b":")] for line in ordinary)
    assert len(first_fields) > 10
    long_referrers = sum(len(record.get("referrer", "")) > 255 for record in records(late_revision()))
    assert 0.15 < long_referrers / LINES < 0.5


def test_all_values_of_the_sample_are_strings_except_in_oddities() -> None:
    for record in records(late_revision()):
        others = {key for key, value in record.items() if not isinstance(value, str)} - {"_t"}
        assert others <= {"scroll depth", "_server_timestamp"}


def test_the_sample_has_a_few_octal_escapes() -> None:
    share = sum(bool(OCTAL.search(line)) for line in late_revision().splitlines()) / LINES
    assert 0.01 < share < 0.08
    assert rb"Paran\303\241" in late_revision()


def test_the_sample_has_every_form_of_identity() -> None:
    identities = {record[key] for record in records(late_revision()) for key in ("_p", "_p2") if key in record}
    anonymous = [one for one in identities if re.fullmatch(r"[a-z0-9+/]{27}=", one)]
    accounts = [one for one in identities if re.fullmatch(r"[1-9]\d+", one)]
    emails = [one for one in identities if re.fullmatch(r"[a-z]+\.[a-z]+\.\d+\.\d+@example\.(com|net|org)", one)]
    assert min(len(anonymous), len(accounts), len(emails)) > 10
    assert len(anonymous) + len(accounts) + len(emails) == len(identities)


def test_the_sample_holds_no_real_address() -> None:
    assert REAL_ADDRESS.search('"url":"https://www.example.shop/"')
    assert REAL_ADDRESS.search('"_p":"someone@mail.test"')
    for content in (*bucket().values(), late_revision()):
        assert not REAL_ADDRESS.search(content.decode())


def test_times_of_sample_lines_are_those_of_their_revision_except_late_lines() -> None:
    start = start_of(5000)
    times = [record["_t"] for record in records(late_revision())]
    outside = [t for t in times if not start <= t < start + SPAN]
    assert len(outside) == LINES // 1000 * ODDITIES["late"].times
    assert all(t < start - 300 * 86_400 for t in outside)
    assert times != sorted(times)
    assert start_of(1 + DAY) - start_of(1) == 86_400


def test_sample_lines_are_in_order_of_receipt() -> None:
    ticks = [record["_t"] // TICK for record in records(late_revision()) if record["_t"] >= start_of(5000)]
    drops = sum(one > following for one, following in pairwise(ticks))
    # Only odd lines stand outside the order.
    assert drops <= LINES // 1000 * sum(kind.times for kind in ODDITIES.values())


@pytest.mark.parametrize("number", [1, 77, 5000])
def test_oddities_of_the_sample_have_their_rate(number: int) -> None:
    content = sample_revision(number, lines=LINES)
    lines = content.split(b"\n")[:-1]
    periods = LINES // 1000
    found = {
        "invalid_octal": content.count(rb"Sea Breeze\231"),
        "backslash": content.count(rb"C:\\Charts\\2013-2014"),
        "octal_quote": content.count(rb"The \042Limpet\042"),
        "raw_utf8": content.count("Malmö".encode()),
        "carriage_return": content.count(b"\r\n"),
        "blank": lines.count(b""),
        "cut_off": sum(not line.rstrip().endswith(b"}") for line in lines if line),
        "no_timestamp": sum(b'"_t":' not in line for line in lines if line.endswith(b"}")),
        "empty_identity": content.count(b'"_p":""'),
        "alias_and_event": sum(b'"_p2":' in line and b'"_n":' in line for line in lines),
        "self_alias": len(re.findall(rb'"_p2":"([^"]+)","_p":"\1"', content)),
        "number": content.count(b'"scroll depth":0.75'),
        "mobile": content.count(b'"_c":"mobile_app"'),
    }
    assert found == {kind: periods * ODDITIES[kind].times for kind in found}
    repeated = sum(count - 1 for line, count in Counter(lines).items() if line)
    assert repeated == periods * ODDITIES["duplicate"].times


def test_small_sample_files_share_the_oddities() -> None:
    lines = [
        line for key, content in sample_bucket(9, 250) if parse_revision(key) for line in content.split(b"\n")[:-1]
    ]
    assert lines.count(b"") == 2
    whole = sum(1 for line in lines if (record := as_json(line)) and record.get("_p") and "_t" in record)
    assert len(lines) - whole - 2 == pytest.approx(9 * 250 / 1000 * len(REFUSED), abs=len(REFUSED))


def test_journeys_of_the_sample_continue_across_revisions() -> None:
    seen: dict[str, set[int]] = {}
    for key, content in bucket().items():
        number = parse_revision(key)
        for record in records(content) if number else ():
            seen.setdefault(record["_p"], set()).add(number or 0)
    assert sum(len(numbers) > 1 for numbers in seen.values()) > 0.1 * len(seen)


def test_aliases_of_the_sample_chain_repeat_and_arrive_late() -> None:
    found = list(records(late_revision()))
    pairs = Counter((record["_p"], record["_p2"]) for record in found if "_p2" in record)
    assert max(pairs.values()) == 2
    assert any(re.fullmatch(r"\d+", one) and "@" in other for one, other in pairs)
    signed_up_unnamed = [one for one in found if one.get("_n") == "signed up" and one["_p"].endswith("=")]
    assert signed_up_unnamed


def test_the_sample_escapes_text_as_km_does() -> None:
    assert escaped('Paraná "C:\\x"') == r"Paran\303\241 \"C:\\x\""

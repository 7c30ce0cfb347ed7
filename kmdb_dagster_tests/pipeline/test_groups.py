"""Groups of revisions: their bounds change no table, and a bad revision fails alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import Mock

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import Lake, ParsedInMemory, ParsedRevision
from kmdb_dagster.pipeline import (
    Pipeline,
    StepResult,
    apply_moves,
    in_groups,
    load,
    open_parsed,
    parse,
    resolve,
    run_step,
    steps,
)
from kmdb_dagster.source import Bucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import alias, event, property_set
from testing.databases import empty_tables
from testing.revisions import content, etag_of, misplaced, one, people, rows

NAMES = ("7", "007", "12", "Bob", "bob", "bob ", "böb")
REVISIONS = 5
LINES = st.lists(
    st.one_of(
        st.builds(alias, st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.builds(event, st.sampled_from(["came", "went"]), st.sampled_from(NAMES), st.integers(1, 2_000_000_000)),
        st.builds(property_set, st.sampled_from(NAMES), st.integers(1, 2_000_000_000), plan=st.text(max_size=2)),
        st.sampled_from([b"\n", b"nonsense\n"]),
    ),
    max_size=6,
)


class Bounds(NamedTuple):
    """How a run forms groups, and what it holds in memory."""

    max_revisions: int
    max_bytes: int
    max_bytes_in_memory: int
    max_values: int


BOUNDS = st.builds(
    Bounds, st.sampled_from([1, 2, 8]), st.integers(1, 2000), st.sampled_from([0, 500, 10_000]), st.sampled_from([1, 5])
)


def opened(warehouse: Warehouse, folder: Path) -> Pipeline:
    """The steps of a run on a lake."""
    lake = Lake(folder)
    lake.prepare()
    bucket = Mock(spec=Bucket)
    return Pipeline(bucket, lake, warehouse, batch_size=3, keep_files=True, max_rejected_share=1, numeric_apart=False)


def parsed(pipeline: Pipeline, lines: Sequence[Sequence[bytes]]) -> Iterator[ParsedRevision]:
    """Revisions of these lines, from 1 on, parsed one after another."""
    for revision, each in enumerate(lines, start=1):
        pipeline.lake.store_raw(revision, etag_of(each), [b"".join(each)])
        yield parse(pipeline, revision)[1]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(LINES, min_size=REVISIONS, max_size=REVISIONS), BOUNDS)
def test_the_bounds_of_groups_change_no_table(
    warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory, lines: list[list[bytes]], bounds: Bounds
) -> None:
    found = []
    for used in (Bounds(1, 1, 0, 100), bounds):
        empty_tables(warehouse.engine)
        pipeline = opened(warehouse, tmp_path_factory.mktemp("lake"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps, "MAX_BYTES_IN_MEMORY", used.max_bytes_in_memory)
            patch.setattr("kmdb_dagster.warehouse.loading.facts.even_batches.__defaults__", (used.max_values,))
            for group in in_groups(parsed(pipeline, lines), used.max_revisions, used.max_bytes):
                resolve(pipeline, group)
                load(pipeline, group)
        apply_moves(pipeline)
        assert misplaced(warehouse.engine) == 0
        found.append(content(warehouse.engine))
    assert found[0] == found[1]
    assert ledger.unbalanced(warehouse.engine) == []


class Weight(NamedTuple):
    """What groups are formed by."""

    weight: int


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1], [[1, 1, 1], [1]]),
        ([4, 6, 1], [[4, 6], [1]]),
        ([30, 1, 9], [[30], [1, 9]]),
        ([0, 0, 0, 0], [[0, 0, 0], [0]]),
    ],
)
def test_a_group_ends_at_its_number_of_revisions_or_bytes(weights: list[int], expected: list[list[int]]) -> None:
    groups = in_groups(map(Weight, weights), max_revisions=3, max_bytes=10)
    assert [[each.weight for each in group] for group in groups] == expected


def test_a_group_is_formed_before_the_revision_after_it_is_parsed() -> None:
    taken = []

    def endless() -> Iterator[Weight]:
        for number in range(100):
            taken.append(number)
            yield Weight(1)

    next(in_groups(endless(), max_revisions=3))
    assert taken == [0, 1, 2]


class Broken(ParsedInMemory):
    """A revision whose records cannot be read."""

    error: Exception = PermanentError("It is damaged.")

    def batches(self, size: int, *, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Fail."""
        del size, columns
        raise self.error


FACTS = [[event("came", f"user{revision}", plan="pro"), alias(f"user{revision}", "x")] for revision in range(1, 5)]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


@pytest.fixture
def pipeline(warehouse: Warehouse, tmp_path: Path) -> Pipeline:
    """The steps of a run."""
    return opened(warehouse, tmp_path / "lake")


@pytest.mark.parametrize("at", ["resolve", "load"])
def test_a_bad_revision_of_a_group_fails_alone(pipeline: Pipeline, at: str) -> None:
    good = list(parsed(pipeline, FACTS))
    bad = [*good[:1], Broken(2, good[1].etag, 100, 0), *good[2:]]
    resolved = run_step(resolve, pipeline, bad if at == "resolve" else good)
    loaded = run_step(load, pipeline, good[:1] + good[2:] if at == "resolve" else bad)
    failed = (resolved if at == "resolve" else loaded)[2]
    assert str(failed) == "It is damaged."
    outcomes = [*resolved.values(), *loaded.values()]
    assert [outcome for outcome in outcomes if not isinstance(outcome, StepResult)] == [failed]
    engine = pipeline.warehouse.engine
    assert rows(engine, "SELECT id >> 40 FROM events ORDER BY 1") == [(1,), (3,), (4,)]
    assert rows(engine, "SELECT revision FROM revisions ORDER BY 1") == [(1,), (3,), (4,)]
    apply_moves(pipeline)
    assert misplaced(engine) == 0


def test_a_defect_that_one_revision_triggers_fails_it_alone(pipeline: Pipeline) -> None:
    good = list(parsed(pipeline, FACTS))
    bad = Broken(2, good[1].etag, 100, 0)
    bad.error = ZeroDivisionError()
    outcomes = run_step(resolve, pipeline, [good[0], bad])
    assert outcomes[2] is bad.error
    assert isinstance(outcomes[1], StepResult)


@pytest.mark.usefixtures("no_waiting")
def test_an_outage_is_not_tried_for_each_revision_and_leaves_nothing_of_the_group(pipeline: Pipeline) -> None:
    good = list(parsed(pipeline, FACTS))
    resolve(pipeline, good)
    away = Broken(4, good[3].etag, 100, 0)
    away.error = TransientError("The server cannot be reached.")
    with pytest.raises(TransientError):
        run_step(load, pipeline, [*good[:3], away])
    assert one(pipeline.warehouse.engine, "SELECT COUNT(*) FROM events") == 0
    assert one(pipeline.warehouse.engine, "SELECT COUNT(*) FROM revisions") == 0


def test_the_time_of_a_group_is_shared_by_the_bytes_of_its_revisions(pipeline: Pipeline) -> None:
    group = list(parsed(pipeline, [FACTS[0], FACTS[0] * 3]))
    short, long = run_step(resolve, pipeline, group).values()
    assert isinstance(short, StepResult)
    assert isinstance(long, StepResult)
    assert 0 < short.seconds < long.seconds


def test_records_in_memory_are_redacted_by_the_erasure_list_of_the_moment(pipeline: Pipeline) -> None:
    group = list(parsed(pipeline, [[event("came", "bob"), event("came", "anna"), alias("bob", "b2")]]))
    request_erasure(pipeline.warehouse.engine, [digest("bob")])
    resolve(pipeline, group)
    figures = load(pipeline, group)[1]
    assert (figures["events"], figures["aliases"], figures["ignored"]) == (1, 0, 2)
    assert set(people(pipeline.warehouse.engine)) == {"anna"}
    assert pipeline.warehouse.erased_digests() == {digest("bob"), digest("b2")}


@pytest.mark.usefixtures("no_waiting")
def test_records_in_memory_are_redacted_when_an_erasure_is_requested_between_resolve_and_load(
    pipeline: Pipeline,
) -> None:
    group = list(parsed(pipeline, [[event("came", "bob"), event("came", "anna")]]))
    resolve(pipeline, group)
    request_erasure(pipeline.warehouse.engine, [digest("bob")])
    assert load(pipeline, group)[1]["events"] == 1
    assert rows(pipeline.warehouse.engine, "SELECT DISTINCT i.name FROM events JOIN users i ON i.id = identity_id") == [
        ("anna",)
    ]


def test_a_revision_larger_than_what_is_held_in_memory_is_read_from_its_parquet(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_BYTES_IN_MEMORY", 10)
    (large,) = parsed(pipeline, FACTS[:1])
    assert not isinstance(large, ParsedInMemory)
    assert large.weight > 10
    assert sum(batch.num_rows for batch in large.batches(100)) == 2


def test_what_is_held_in_memory_equals_what_is_read_from_the_parquet(pipeline: Pipeline) -> None:
    for revision, held in enumerate(parsed(pipeline, [*FACTS, [], [b"nonsense\n", *FACTS[0]]]), start=1):
        read = open_parsed(pipeline, revision)
        assert (held.revision, held.etag, held.size) == (read.revision, read.etag, read.size)
        assert isinstance(held, ParsedInMemory)
        assert [row for batch in held.batches(100) for row in batch.to_pylist()] == [
            row for batch in read.batches(100) for row in batch.to_pylist()
        ]

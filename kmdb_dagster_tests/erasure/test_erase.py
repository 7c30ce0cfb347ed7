"""A person is forgotten: whatever the order, whatever runs beside it, and wherever it is killed."""

import gzip
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import permutations
from pathlib import Path
from shutil import copytree
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure import tables
from kmdb_dagster.erasure.erase import ErasureCounts, erase_people
from kmdb_dagster.erasure.requests import request_erasure
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.lake import Lake
from kmdb_dagster.lake.locks import writing
from kmdb_dagster.pipeline import Pipeline, fetch, load, parse, resolve
from kmdb_dagster.source import FolderBucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.data_folders import claim_folder, confirm_folder, remove_folder
from kmdb_dagster.warehouse.interning.interning import intern_identities
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, T, alias, event, line, property_set
from testing.databases import empty_tables, new_warehouse
from testing.revisions import change, content, misplaced, one, people, rows
from testing.workers import Worker, at_once, count_moments, killed_at, workers

FOLDER = b"a data folder's "
NAMES = ("bob", "bób", "7", "007", "anna", "carl")
REFUSED = (b'{"_p":"bob","_t":"x"}\n', b'{"_n":"a" "_p":"b\\303\\263b"}\n', b"anna,came\n", b"nonsense\n")
TIMES = st.integers(T, T + 2)
NAME = st.sampled_from(NAMES)
LINES = st.lists(
    st.one_of(
        st.builds(alias, NAME, NAME),
        st.builds(lambda one, other: line({"_n": "came", "_p": one, "_p2": other, "_t": T}), NAME, NAME),
        st.builds(lambda name, t: event("came", name, t, plan="pro"), NAME, TIMES),
        st.builds(lambda name, t: property_set(name, t, sex="f"), NAME, TIMES),
        st.sampled_from([*REFUSED, b"\n"]),
    ),
    max_size=6,
)


class Forget(NamedTuple):
    """Erases the people that were requested."""

    lake: Path

    def __call__(self, warehouse: Warehouse) -> ErasureCounts:
        """Do it."""
        return erase_people(warehouse, Lake(self.lake), numeric_apart=False, most_identities=1000)


class Import(NamedTuple):
    """Brings revisions in, from the bucket to the tables."""

    bucket: Path
    lake: Path
    revisions: Sequence[int]
    apart: bool = False

    def __call__(self, warehouse: Warehouse) -> None:
        """Do it."""
        lake = Lake(self.lake)
        lake.prepare()
        pipeline = Pipeline(
            FolderBucket(self.bucket),
            lake,
            warehouse,
            batch_size=3,
            keep_files=True,
            max_rejected_share=1,
            numeric_apart=self.apart,
        )
        for step in (fetch, parse, resolve, load):
            for revision in self.revisions:
                step(pipeline, revision)


class Place:
    """A bucket, a lake and a warehouse."""

    def __init__(self, warehouse: Warehouse, folder: Path, revisions: Sequence[Sequence[bytes]]) -> None:
        self.warehouse = warehouse
        self.lake = folder / "lake"
        self.bucket = FolderOfRevisions(folder / "bucket")
        self.revisions = list(range(1, len(revisions) + 1))
        for revision, lines in enumerate(revisions, start=1):
            # An ETag of a folder is made of the time.
            os.utime(self.bucket.put(revision, *lines), (T, T))

    def bring_in(self, *revisions: int, apart: bool = False) -> None:
        """Import revisions."""
        self.run(revisions, apart=apart)(self.warehouse)

    def run(self, revisions: Sequence[int] = (), *, apart: bool = False) -> Import:
        """The import of these revisions, or of all."""
        return Import(self.bucket.folder, self.lake, revisions or self.revisions, apart)

    def forget(self, *names: str) -> ErasureCounts:
        """Erase people, and those of earlier requests."""
        request_erasure(self.warehouse.engine, [digest(name) for name in names])
        return Forget(self.lake)(self.warehouse)

    def content(self) -> dict[str, Any]:
        """What is in, and that it is sound."""
        engine = self.warehouse.engine
        assert ledger.unbalanced(engine) == []
        assert misplaced(engine) == 0
        of_facts = "SELECT id >> 40 AS revision, COUNT(*) AS found FROM {} GROUP BY 1"
        for table, column in (("events", "events"), ("properties", "properties"), ("aliases", "aliases")):
            counted = of_facts.format(table)
            wrong = (
                f"SELECT COUNT(*) FROM revisions r LEFT JOIN ({counted}) f ON f.revision = r.revision "  # noqa: S608
                f"WHERE r.{column} <> COALESCE(f.found, 0)"
            )
            assert one(engine, wrong) == 0
        return {**content(engine), "lake": lake_rows(self.lake)}


def lake_rows(lake: Path) -> list[Any]:
    return [
        pq.read_table(path).drop_columns(["revision"]).to_pylist() for path in sorted(lake.glob("parsed/*.parquet"))
    ]


def everything_in(folder: Path) -> bytes:
    """All files, Parquet as text."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return raw + repr(lake_rows(folder)).encode()


@pytest.fixture(scope="module")
def plain(server_url: str) -> Iterator[Warehouse]:
    """Another warehouse."""
    with new_warehouse(server_url) as opened:
        yield opened


REVISIONS = (
    [event("came", "bob", T - 5, plan="pro"), event("came", "anna", plan="pro"), alias("bob", "x1"), b"\n"],
    [property_set("x1", T + 9, sex="m"), alias("x1", "x2"), b'{"_p":"bob"}\n', b"no json, x2\n", b"no json\n"],
    [event("went", "x2"), line({"_n": "came", "_p": "anna", "_p2": "carl", "_t": T}), event("came", "carl")],
)


def test_nothing_is_left_of_a_forgotten_person_and_nothing_comes_back(warehouse: Warehouse, tmp_path: Path) -> None:
    place = Place(warehouse, tmp_path, REVISIONS)
    place.bring_in(1, 2, 3)
    assert set(people(warehouse.engine)) == {"bob", "x1", "x2", "anna", "carl"}
    done = place.forget("x1")
    assert done == ErasureCounts(3, 2, 2, 2, 2, 3, 3)
    for _ in range(2):
        assert people(warehouse.engine) == {"anna": "anna", "carl": "anna"}
        assert rows(warehouse.engine, "SELECT revision, raw FROM rejected_lines") == [(2, b"no json")]
        assert one(warehouse.engine, "SELECT COUNT(*) FROM events") == 3
        assert not any(name in everything_in(place.lake / "parsed") for name in (b"bob", b"x1", b"x2"))
        assert not any(name in everything_in(place.lake / "raw") for name in (b"bob", b"x1", b"x2"))
        found = place.content()
        place.bring_in(3, 2, 1)
    assert found == place.content()
    assert place.forget("x1") == ErasureCounts()


def test_it_is_asked_for_before_anything_was_imported(warehouse: Warehouse, plain: Warehouse, tmp_path: Path) -> None:
    place, other = Place(warehouse, tmp_path / "a", REVISIONS), Place(plain, tmp_path / "b", REVISIONS)
    empty_tables(plain.engine)
    place.forget("bob")
    place.bring_in(3, 2, 1)
    other.bring_in(1, 2, 3)
    other.forget("bob")
    # x1 and x2 became known as the same person only by aliases that came later.
    assert place.forget("bob").identities == 1
    assert place.content() == other.content()


USED = """
    SELECT name FROM users WHERE id IN (SELECT identity_id FROM events UNION SELECT identity_id FROM properties
    UNION SELECT identity1_id FROM aliases UNION SELECT identity2_id FROM aliases)
"""
WAYS = st.tuples(
    st.lists(LINES, min_size=3, max_size=3),
    st.sampled_from(list(permutations((1, 2, 3)))),
    st.integers(0, 3),
    st.lists(NAME, min_size=1, max_size=2),
    st.booleans(),
)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(WAYS)
def test_whenever_it_is_asked_for_the_content_is_the_same(
    warehouse: Warehouse,
    plain: Warehouse,
    tmp_path_factory: pytest.TempPathFactory,
    way: tuple[list[list[bytes]], tuple[int, ...], int, list[str], bool],
) -> None:
    revisions, order, before, names, placeholder = way
    found = []
    for opened, at in ((warehouse, before), (plain, 3)):
        empty_tables(opened.engine)
        if placeholder:
            with opened.engine.begin() as connection:
                connection.execute(text("INSERT INTO placeholder_identities (name) VALUES ('anna')"))
        place = Place(opened, tmp_path_factory.mktemp("way"), revisions)
        place.bring_in(*order[:at]) if at else None
        place.forget(*names)
        place.bring_in(*(order[::-1] if opened is warehouse else order))
        place.forget(*names)
        found.append(place.content())
        assert not set(names) & set(people(opened.engine))
        # The name of a placeholder may be left, from an alias line that was removed. It has no facts.
        used = {str(name) for (name,) in rows(opened.engine, USED)}
        found[-1]["people"] = {name: found[-1]["people"][name] for name in used}
    assert found[0] == found[1]


def test_numeric_identities_that_stay_apart_are_forgotten_apart(warehouse: Warehouse, tmp_path: Path) -> None:
    ties = [alias("7", "x", T), alias("x", "12", T + 1), alias("12", "y", T)]
    place = Place(warehouse, tmp_path, [[*ties, *(event("came", name) for name in ("7", "x", "12", "y"))]])
    place.bring_in(1, apart=True)
    assert place.forget("12").identities == 2
    before = place.content()
    assert before["people"] == {"7": "7", "x": "7"}
    place.bring_in(1, apart=True)
    assert place.content() == before


def test_killed_at_any_moment_and_run_again_it_comes_to_its_end(
    database: str, warehouse: Warehouse, plain: Warehouse, tmp_path: Path
) -> None:
    expected = Place(plain, tmp_path / "plain", REVISIONS)
    empty_tables(plain.engine)
    expected.bring_in(1, 2, 3)
    counted: list[int] = []
    count_moments(plain.engine, counted.append)
    expected.forget("x2")
    whole = expected.content()
    moments = random.Random(1).sample(range(1, len(counted) + 1), 6)
    for moment in moments:
        empty_tables(warehouse.engine)
        place = Place(warehouse, tmp_path / str(moment), REVISIONS)
        place.bring_in(1, 2, 3)
        request_erasure(warehouse.engine, [digest("x2")])
        killed_at(database, [Forget(place.lake)], moment)  # type: ignore[list-item]  # a run is what can be called
        assert ledger.unbalanced(warehouse.engine) == []
        Forget(place.lake)(warehouse)
        assert place.content() == whole, moment


@pytest.fixture
def team(database: str) -> Iterator[list[Worker]]:
    """Two processes that use this test's own database."""
    with workers(database, 2) as found:
        yield found


def test_an_import_at_the_same_time_does_not_bring_anybody_back(
    warehouse: Warehouse, plain: Warehouse, team: list[Worker], tmp_path: Path
) -> None:
    expected = Place(plain, tmp_path / "plain", REVISIONS)
    empty_tables(plain.engine)
    expected.bring_in(1, 2, 3)
    expected.forget("bob")
    for turn in range(3):
        empty_tables(warehouse.engine)
        place = Place(warehouse, tmp_path / str(turn), REVISIONS)
        place.bring_in(1, 2)
        request_erasure(warehouse.engine, [digest("bob")])
        runs: Any = [[place.run((3, 2, 1)), place.run()], [Forget(place.lake)]]
        at_once(team, runs)
        Forget(place.lake)(warehouse)
        assert place.content() == expected.content()


def test_a_person_of_very_many_identities_waits_for_a_decision(warehouse: Warehouse, tmp_path: Path) -> None:
    place = Place(warehouse, tmp_path, [[alias("a", f"b{number}") for number in range(5)], [event("came", "carl")]])
    place.bring_in(1, 2)
    request_erasure(warehouse.engine, [digest("a"), digest("carl")])
    with pytest.raises(PermanentError, match="Not erased: 1 people with more than 5 identities"):
        erase_people(warehouse, Lake(place.lake), numeric_apart=False, most_identities=5)
    assert len(people(warehouse.engine)) == 6
    assert erase_people(warehouse, Lake(place.lake), numeric_apart=False, most_identities=None).identities == 6
    assert people(warehouse.engine) == {}


def exchange_ids(engine: Engine, one: str, other: str) -> None:
    """Give two identities each other's id, as a server does that lost commits and hands ids out again."""
    with engine.begin() as connection:
        ids = {str(name): int(number) for name, number in connection.execute(text("SELECT name, id FROM users"))}
        for name, number in ((one, 999), (other, ids[one]), (one, ids[other])):
            connection.execute(text("UPDATE users SET id = :id WHERE name = :name"), {"id": number, "name": name})


def test_nothing_is_removed_by_ids_that_belong_to_another_person_by_now(warehouse: Warehouse, tmp_path: Path) -> None:
    engine = warehouse.engine
    place = Place(warehouse, tmp_path, [[event("came", "bob"), event("went", "anna")]])
    place.bring_in(1)
    request_erasure(engine, [digest("bob")])
    generation = warehouse.generation()
    (bob,) = tables.mark_people(engine, generation, None, FOLDER).people
    exchange_ids(engine, "bob", "anna")
    before = content(engine)
    with pytest.raises(TransientError, match="changed while it was being erased"):
        tables.remove_person(engine, generation, bob)
    assert content(engine) == before


def test_a_person_stays_out_although_the_server_lost_the_commit_that_said_so(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    engine = warehouse.engine
    place = Place(warehouse, tmp_path, [[event("came", "bob"), alias("bob", "b2")]])
    place.bring_in(1)
    request_erasure(engine, [digest("bob")])
    generation = warehouse.generation()
    (bob,) = tables.mark_people(engine, generation, None, FOLDER).people
    change(engine, "DELETE FROM forgotten_identities")
    tables.remove_person(engine, generation, bob)
    assert warehouse.erased_digests() == {digest("bob"), digest("b2")}


def test_whoever_was_forgotten_since_a_run_looked_is_not_interned(warehouse: Warehouse) -> None:
    request_erasure(warehouse.engine, [digest("bob")])
    with pytest.raises(TransientError, match="An identity was erased"):
        intern_identities(warehouse.engine, ["bob"])
    assert people(warehouse.engine) == {}


def test_temporary_files_of_killed_runs_are_removed_whatever_their_age(warehouse: Warehouse, tmp_path: Path) -> None:
    place = Place(warehouse, tmp_path, REVISIONS)
    place.bring_in(1)
    left = [place.lake / "raw" / "1" / ".x.json.abc", place.lake / "parsed" / ".1.parquet.def"]
    for path in left:
        path.write_bytes(b"bob")
    assert place.forget("bob").temporary_files == 2
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("content", "removed"),
    [
        (gzip.compress(event("came", "bob")), 1),
        (gzip.compress(event("came", "anna")), 0),
        (gzip.compress(event("came", "anna") * 1000)[:-9], 1),
        (event("came", "bob").decode().encode("utf-16"), 1),
        (b"<html>bob", 1),
    ],
    ids=["gzip", "gzip of others", "damaged gzip", "UTF-16", "HTML"],
)
def test_a_raw_copy_that_names_the_person_in_any_format_or_cannot_be_read_is_removed(
    warehouse: Warehouse, tmp_path: Path, content: bytes, removed: int
) -> None:
    place = Place(warehouse, tmp_path, [])
    Lake(place.lake).prepare()
    Lake(place.lake).store_raw(1, "etag", [content])
    assert place.forget("bob").raw_files == removed


def test_an_erasure_waits_for_what_a_run_is_writing(warehouse: Warehouse, tmp_path: Path) -> None:
    place = Place(warehouse, tmp_path, REVISIONS)
    place.bring_in(1)
    late = place.lake / "raw" / "1" / "late.json"
    with ThreadPoolExecutor(1) as pool:
        with writing(place.lake):
            forgetting = pool.submit(place.forget, "bob")
            with pytest.raises(TimeoutError):
                forgetting.result(timeout=3)
            late.write_bytes(event("came", "bob"))
        assert forgetting.result().raw_files == 2
    assert not late.exists()


def waiting(warehouse: Warehouse) -> int:
    """How many identities are still to be erased."""
    return int(str(one(warehouse.engine, "SELECT COUNT(*) FROM forgotten_identities WHERE done_at IS NULL")))


def confirm(place: Place, folder: str) -> Place:
    """The same bucket and warehouse from a machine with a data folder of its own."""
    other = copy(place)
    other.lake = place.lake.with_name(folder)
    confirm_folder(place.warehouse.engine, Lake(other.lake))
    return other


def test_an_erasure_is_complete_when_every_data_folder_was_searched(warehouse: Warehouse, tmp_path: Path) -> None:
    here = Place(warehouse, tmp_path, REVISIONS)
    here.bring_in(1, 2)
    there = confirm(here, "other lake")
    there.bring_in(2, 3)
    confirm(here, "lake")
    for _ in range(2):
        with pytest.raises(
            PermanentError, match=r"is not complete: 1 data folders .*/other lake\. Run `kmdb forget --fin"
        ):
            here.forget("bob")
        assert waiting(warehouse) > 0
    assert Forget(there.lake)(warehouse).parquet_files == 2
    assert waiting(warehouse) == 0
    for place in (here, there):
        assert not any(name in everything_in(place.lake) for name in (b"bob", b"x1", b"x2"))
        assert Forget(place.lake)(warehouse) == ErasureCounts()


def test_an_erasure_waits_for_no_data_folder_that_a_person_says_is_gone(warehouse: Warehouse, tmp_path: Path) -> None:
    here = Place(warehouse, tmp_path, REVISIONS)
    there = confirm(here, "other lake")
    there.bring_in(1, 2, 3)
    confirm(here, "lake")
    with pytest.raises(PermanentError, match="--removed ID") as caught:
        here.forget("bob")
    gone = claim_folder(warehouse.engine, Lake(there.lake))
    assert gone.hex() in str(caught.value)
    remove_folder(warehouse.engine, gone)
    assert Forget(here.lake)(warehouse) == ErasureCounts()
    assert waiting(warehouse) == 0


def test_a_data_folder_that_is_confirmed_later_is_searched_for_all_that_were_erased_before(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    here = Place(warehouse, tmp_path, REVISIONS)
    here.bring_in(1, 2, 3)
    old = here.lake.with_name("restored")
    copytree(here.lake, old)
    here.forget("bob")
    there = confirm(here, "restored")
    assert waiting(warehouse) == 3
    assert Forget(there.lake)(warehouse).parquet_files == 3
    assert not any(name in everything_in(old) for name in (b"bob", b"x1", b"x2"))
    assert waiting(warehouse) == 0


def test_an_erasure_of_older_imports_whose_parquet_is_not_here_is_refused_until_the_folders_are_confirmed(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    place = Place(warehouse, tmp_path, REVISIONS)
    place.bring_in(1, 2, 3)
    # As before data folders were noted.
    change(warehouse.engine, "UPDATE revisions SET imported_at = imported_at - INTERVAL 1 DAY")
    right, place.lake = place.lake, tmp_path / "elsewhere"
    with pytest.raises(PermanentError, match=r"lacks the Parquet of 3 imported revisions\. Nothing was removed"):
        place.forget("bob")
    assert "bob" in people(warehouse.engine)
    confirm_folder(warehouse.engine, Lake(right))
    with pytest.raises(PermanentError, match=f"1 data folders are still to be searched. They are: .*:{right}"):
        Forget(place.lake)(warehouse)
    assert Forget(right)(warehouse).parquet_files == 3


def test_nobody_stays_ignored_by_name_who_is_forgotten(warehouse: Warehouse, tmp_path: Path) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text("INSERT INTO ignored_users (name) VALUES ('bob'), ('anna')"))
    Place(warehouse, tmp_path, []).forget("bob")
    assert rows(warehouse.engine, "SELECT name FROM ignored_users") == [("anna",)]

"""Every sequence of the corpus gives its expected people, through the steps of Dagster's runs, in any order."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.flush import flush
from testing.buckets import FolderOfRevisions
from testing.revisions import content, misplaced, people, rows
from testing.steps import fetch, load, parse, resolve

CORPUS = Path(__file__).parents[1] / "corpus" / "sequences.jsonl"
SEQUENCES = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
SELECT_EVENTS = """
    SELECT UNIX_TIMESTAMP(e.t), k.string, u.name FROM events e JOIN `keys` k ON k.id = e.n
    JOIN users u ON u.id = e.user_id ORDER BY e.t, e.id
"""
SELECT_PROPERTIES = """
    SELECT UNIX_TIMESTAMP(p.t), k.string, p.value, u.name FROM properties p JOIN `keys` k ON k.id = p.key
    JOIN users u ON u.id = p.user_id ORDER BY p.t, k.string, p.id
"""


def fill(bucket: FolderOfRevisions, sequence: dict[str, Any]) -> list[int]:
    """Write the files of a sequence; returns their numbers."""
    files = {int(name.removesuffix(".json")): base64.b64decode(raw) for name, raw in sequence["files"].items()}
    for revision, raw in files.items():
        bucket.put(revision, raw)
    return list(files)


def bring_in(opened: Pipeline, revision: int) -> None:
    """All steps of a revision."""
    for step in (fetch, parse, resolve, load):
        step(opened, revision)


def found(engine: Engine) -> list[dict[str, Any]]:
    """The people of the warehouse, as the corpus tells of them."""
    persons: dict[str, dict[str, Any]] = {}
    for identity, person in sorted(people(engine).items()):
        empty: dict[str, Any] = {"identities": [], "events": [], "properties": []}
        persons.setdefault(person, empty)["identities"].append(identity)
    for *event, person in rows(engine, SELECT_EVENTS):
        persons[person]["events"].append(event)
    for *value, person in rows(engine, SELECT_PROPERTIES):
        persons[person]["properties"].append(value)
    return comparable(persons.values())


def comparable(persons: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(persons, key=lambda person: sorted(person["identities"]))


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: str(sequence["id"]))
def test_a_sequence_of_the_corpus_has_its_people_in_any_order(
    kmdb: Kmdb, bucket: FolderOfRevisions, sequence: dict[str, Any]
) -> None:
    forwards = sorted(fill(bucket, sequence))
    with kmdb.pipeline() as opened:
        for order in (forwards, forwards, forwards[::-1]):
            if order is not forwards:
                flush(opened.warehouse.engine)
            for revision in order:
                bring_in(opened, revision)
            check(opened.warehouse.engine, sequence)


def check(engine: Engine, sequence: dict[str, Any]) -> None:
    assert found(engine) == comparable(sequence["people"])
    assert rejected(engine) == sequence.get("rejected", rejected(engine))
    assert misplaced(engine) == 0
    assert ledger.unbalanced(engine) == []


def rejected(engine: Engine) -> list[dict[str, Any]]:
    """The refused lines, as the corpus tells of them."""
    lines = rows(engine, "SELECT revision, line, reason FROM rejected_lines ORDER BY revision, line")
    return [{"file": f"{revision}.json", "line": line, "reason": reason} for revision, line, reason in lines]


def test_all_sequences_as_one_export_give_the_same_tables_in_any_order(kmdb: Kmdb, bucket: FolderOfRevisions) -> None:
    files = [raw for sequence in SEQUENCES for raw in sequence["files"].values()]
    for revision, raw in enumerate(files, start=1):
        bucket.put(revision, base64.b64decode(raw))
    with kmdb.pipeline() as opened:
        for revision in range(1, len(files) + 1):
            bring_in(opened, revision)
        before = content(opened.warehouse.engine)
        # All people first, as a run does it; then the facts, from the last to the first.
        for steps in ((fetch, parse, resolve), (load,)):
            for revision in range(len(files), 0, -1):
                for step in steps:
                    step(opened, revision)
        assert content(opened.warehouse.engine) == before

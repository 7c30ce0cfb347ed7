"""Which records of a batch are imported, as columns: no Python object for a row. Knows the filters, no SQL."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kmdb_dagster.warehouse.loading.filters import Filters
from kmdb_dagster.warehouse.schema.columns import IntColumn
from kmdb_dagster.warehouse.schema.row_ids import LINE_BITS, ORDINAL_BITS

Column: TypeAlias = Any
"""A pyarrow array: its classes are many."""
Mask: TypeAlias = NDArray[np.bool_]

MAX_VALUES_PER_BATCH = 100_000
"""Records and properties that become rows at a time. It bounds the memory, however many properties a line has."""

LookUp: TypeAlias = Callable[[list[str]], Mapping[str, int]]
"""Returns the id of each name."""

Id = TypeVar("Id", np.int64, np.uint64)


class Records(NamedTuple):
    """The records of a batch by kind. ``facts`` are the events and property sets that are imported."""

    batch: pa.RecordBatch
    events: Mask
    facts: Mask
    aliases: Mask
    blank: Mask
    rejected: Mask


class Facts(NamedTuple):
    """The facts of a batch, and their properties that no filter excludes. ``parent`` is the index of its fact."""

    id: IntColumn
    t: Column
    identity: Column
    name: Column
    is_event: Mask
    parent: IntColumn
    ordinal: IntColumn
    key: Column
    value: Column


class People(NamedTuple):
    """The ids of the identity and of the person of each fact."""

    identity: IntColumn
    person: IntColumn


def even_batches(batches: Iterable[pa.RecordBatch], max_values: int = MAX_VALUES_PER_BATCH) -> Iterator[pa.RecordBatch]:
    """Cut batches that are too large, and join small ones, also of several revisions.

    Args:
        batches: the records, in order.
        max_values: the maximum number of records and properties in a batch, unless one record has more.
    """
    waiting: list[pa.RecordBatch] = []
    values = 0
    for batch in _split(batches, max_values):
        more = len(batch) + _count_properties(batch)
        if waiting and values + more > max_values:
            yield _joined(waiting)
            waiting, values = [], 0
        waiting.append(batch)
        values += more
    if waiting:
        yield _joined(waiting)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    (joined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined


def _split(batches: Iterable[pa.RecordBatch], max_values: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        # How many records and properties there are before each record.
        before = np.asarray(_properties(batch).offsets).astype(np.int64) + np.arange(len(batch) + 1)
        start = 0
        while start < len(batch):
            full = int(np.searchsorted(before, before[start] + max_values, side="right")) - 1
            stop = max(start + 1, full)
            yield batch.slice(start, stop - start)
            start = stop


def select_rows(batch: pa.RecordBatch, filters: Filters) -> tuple[Records, Facts]:
    """Return the records of a batch by kind, and the facts that the filters admit."""
    kind = batch.column("kind").cast(pa.string())
    events, sets, aliases, blank, rejected = (
        _mask(pc.equal(kind, pa.scalar(name))) for name in ("event", "property_set", "alias", "blank", "rejected")
    )
    passing = (events | sets) & _passes_filters(batch, filters)
    offsets = np.asarray(_properties(batch).offsets).astype(np.int64)
    of_record = np.repeat(np.arange(len(batch)), np.diff(offsets))
    place = np.arange(offsets[0], offsets[-1])
    kept = passing[of_record] & ~_any_of(_properties(batch).keys, filters.blacklisted_properties)[place]
    # An event is imported even if none of its properties is left, a property set is not.
    facts = passing & (events | (np.bincount(of_record[kept], minlength=len(batch)) > 0))
    of_record, place = of_record[kept], place[kept]
    chosen = batch.filter(pa.array(facts))
    return Records(batch, events, facts, aliases, blank, rejected), Facts(
        id=row_ids(chosen.column("revision"), chosen.column("line")),
        t=chosen.column("t").cast(pa.timestamp("s")),
        identity=chosen.column("identity"),
        name=chosen.column("name"),
        is_event=events[facts],
        parent=(np.cumsum(facts) - 1)[of_record],
        ordinal=place - offsets[of_record] + 1,
        key=_properties(batch).keys.take(pa.array(place)),
        value=_properties(batch).items.take(pa.array(place)),
    )


def event_rows(facts: Facts, people: People, look_up: LookUp) -> Column:
    """The rows of ``events``.

    Args:
        facts: the facts of a batch.
        people: the person and the identity of each fact, as ``users.id``.
        look_up: gives the ``keys.id`` of names.
    """
    of_events = pa.array(facts.is_event)
    return pa.table(
        {
            "id": facts.id[facts.is_event],
            "t": facts.t.filter(of_events),
            "n": ids_of(facts.name.filter(of_events), look_up),
            "user_id": people.person[facts.is_event],
            "identity_id": people.identity[facts.is_event],
        }
    )


def property_rows(facts: Facts, people: People, look_up: LookUp) -> Column:
    """The rows of ``properties``.

    Args:
        facts: the facts of a batch.
        people: the person and the identity of each fact, as ``users.id``.
        look_up: gives the ``keys.id`` of names.
    """
    parent = facts.parent
    return pa.table(
        {
            "id": facts.id[parent] + facts.ordinal,
            "t": facts.t.take(pa.array(parent)),
            "key": ids_of(facts.key, look_up),
            "value": facts.value,
            "user_id": people.person[parent],
            "event_id": pa.array(facts.id[parent], mask=~facts.is_event[parent]),
            "identity_id": people.identity[parent],
        }
    )


def ids_of(names: Column, look_up: LookUp, dtype: type[Id] = np.int64) -> NDArray[Id]:  # type: ignore[assignment]
    """Return the id of each name. Only distinct names are looked up.

    Args:
        names: the names, as an array of Arrow's.
        look_up: gives the id of each distinct name.
        dtype: the type of the ids.
    """
    encoded = names.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    found = look_up(distinct)
    ids: NDArray[Id] = np.array([found[name] for name in distinct], dtype)[np.asarray(encoded.indices)]
    return ids


def row_ids(revisions: Column, lines: Column) -> IntColumn:
    """Return `tables.row_id` of many lines."""
    numbers: IntColumn = np.asarray(lines).astype(np.int64)
    return (numbers | np.asarray(revisions).astype(np.int64) << LINE_BITS) << ORDINAL_BITS


def _passes_filters(batch: pa.RecordBatch, filters: Filters) -> Mask:
    name = batch.column("name")
    wanted = _any_of(name, filters.whitelisted_events) | _mask(name.is_null()) | (not filters.whitelisted_events)
    if filters.facts_from is not None:
        kept = pc.greater_equal(batch.column("t").cast(pa.timestamp("s")), pa.scalar(filters.facts_from))
        wanted &= _mask(kept.fill_null(False))  # noqa: FBT003 - pyarrow's name for it is positional
    return ~_any_of(batch.column("identity"), filters.ignored_users) & wanted


def _any_of(column: Column, names: frozenset[str]) -> Mask:
    return _mask(pc.is_in(column, value_set=pa.array(sorted(names), pa.string())))


def _mask(column: Column) -> Mask:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)


def _properties(batch: pa.RecordBatch) -> Column:
    return batch.column("properties")


def _count_properties(batch: pa.RecordBatch) -> int:
    offsets = _properties(batch).offsets
    return int(offsets[-1].as_py() - offsets[0].as_py())

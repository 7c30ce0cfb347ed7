"""The registered partitions are contiguous and ascending."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME, register, registered, revisions_of
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.warehouse import Warehouse


def keys(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions(PARTITIONS_NAME))


def upto(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def test_partitions_are_contiguous_and_ascending(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    assert register(instance, warehouse, 3, 12) == 10
    assert keys(instance) == upto(3, 12)
    assert register(instance, warehouse, 20, 20) == 8
    assert keys(instance) == upto(3, 20)
    assert register(instance, warehouse, 5, 6) == 0
    assert registered(instance) == list(range(3, 21))


def test_very_many_partitions_are_registered_in_order(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    register(instance, warehouse, 1, 2500)
    assert keys(instance) == upto(1, 2500)


def test_lower_revisions_that_are_added_later_come_before_the_others(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    register(instance, warehouse, 5, 8)
    register(instance, warehouse, 2, 2)
    assert keys(instance) == upto(2, 8)


@pytest.mark.parametrize("by_hand", [["9"], ["abc"], ["7", "5"], ["4", "007"]])
def test_a_partition_added_by_hand_is_replaced(
    by_hand: list[str], instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    register(instance, warehouse, 1, 3)
    instance.add_dynamic_partitions(PARTITIONS_NAME, by_hand)
    register(instance, warehouse, 1, 4)
    highest = max([4, *(int(key) for key in by_hand if key in upto(1, 9))])
    assert keys(instance) == upto(1, highest)


def test_a_partition_key_that_is_not_a_number_is_ignored(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions(PARTITIONS_NAME, ["2", "abc", "1"])
    assert registered(instance) == [1, 2]


def test_two_concurrent_registrations_add_each_partition_once(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    with ThreadPoolExecutor() as pool:
        added = list(pool.map(lambda last: register(instance, warehouse, 1, last), [300, 200, 300, 100]))
    assert keys(instance) == upto(1, 300)
    assert sum(added) == 300


def test_a_run_orders_its_revisions_numerically() -> None:
    assert revisions_of(["10", "9", "11"]) == [9, 10, 11]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "without revisions"),
        (["1", "abc"], "'abc' is not a revision number"),
        (["01"], "'01' is not a revision number"),
    ],
)
def test_a_run_without_revisions_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        revisions_of(given)


def test_a_stray_file_with_a_huge_number_adds_no_partitions(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    register(instance, warehouse, 1, 3)
    with pytest.raises(PermanentError, match=r"revisions 1 to 8000000, which would be 8,000,000 partitions"):
        register(instance, warehouse, 1, 8_000_000)
    assert keys(instance) == upto(1, 3)

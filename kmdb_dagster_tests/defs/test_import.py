import dagster as dg
from sqlalchemy import text

from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions, T, alias, event, property_set
from testing.runs import import_range


def test_a_run_imports_a_range_of_revisions(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(1, event("visited site", "anon=", T, url="http://example.com"), property_set("anon=", T, plan="pro"))
    bucket.put(2, alias("anon=", "bob@example.com"), event("signed up", "bob@example.com", T + 1))
    assert import_range(instance, kmdb, 1, 2).success
    with warehouse.engine.connect() as connection:
        events = connection.execute(
            text(
                "SELECT k.string, u.name, i.name FROM events e JOIN `keys` k ON k.id = e.n "
                "JOIN users u ON u.id = e.user_id JOIN users i ON i.id = e.identity_id ORDER BY e.t"
            )
        ).all()
        assert [tuple(row) for row in events] == [
            ("visited site", "anon=", "anon="),
            ("signed up", "anon=", "bob@example.com"),
        ]


def test_a_failed_revision_does_not_affect_the_others_of_its_run(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> None:
    bucket.put(2, event("visited site")).unlink()
    with warehouse.engine.begin() as connection:
        connection.execute(text("INSERT INTO revisions (revision, etag, imported_at) VALUES (2, 'e', '2014-01-01')"))
    bucket.put(1, event("visited site"))
    bucket.put(3, event("visited site"))
    result = import_range(instance, kmdb, 1, 3)
    assert not result.success
    for asset in ("raw_revisions", "parsed_events", "user_map", "events", "properties"):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {"1", "3"}
    with warehouse.engine.connect() as connection:
        found = connection.execute(text("SELECT revision, error IS NULL FROM revisions ORDER BY revision")).all()
    assert [tuple(row) for row in found] == [(1, 1), (2, 0), (3, 1)]

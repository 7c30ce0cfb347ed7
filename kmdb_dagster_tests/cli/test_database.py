"""The commands on the database, against a real one."""

import json
from pathlib import Path

from sqlalchemy import text

from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from testing.buckets import FolderOfRevisions, alias, event
from testing.revisions import Revisions, change
from testing.terminal import Terminal

DATES = {"KMDB_MIN_DATE": "2014-04-01", "KMDB_MAX_DATE": "2014-06-01"}


def count(warehouse: Warehouse, table: str) -> int:
    with warehouse.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())  # noqa: S608 - our tables


def test_migrate_creates_the_tables_once(terminal: Terminal, empty_database: str) -> None:
    name = empty_database.rpartition("/")[2]
    first = terminal.kmdb("migrate", DATABASE_URL=empty_database)
    again = terminal.kmdb("migrate", DATABASE_URL=empty_database)
    assert (first.code, again.code) == (0, 0)
    assert first.out.startswith(f"{name} on ")
    assert first.out.endswith("(was none).\n")
    assert again.out.endswith(" already.\n")


def test_a_dry_run_prints_statements_that_can_be_piped_and_changes_nothing(ready: Terminal) -> None:
    shown = ready.kmdb("partition", "--dry-run", "--sql", **DATES)
    assert shown.code == 0
    *statements, rest = shown.out.split(";\n")
    assert rest == ""
    assert statements
    assert all(statement.startswith("ALTER TABLE") for statement in statements)
    assert shown.out == ready.kmdb("partition", "--dry-run", "--sql", **DATES).out
    assert "events: 10 partitions would be added to " in shown.err


def test_a_dry_run_is_readable_and_advises_a_length_from_the_size_of_the_bucket(
    ready: Terminal, bucket: FolderOfRevisions
) -> None:
    bucket.put(1, *[event("came")] * 5000)
    shown = ready.kmdb("partition", "--dry-run", **DATES)
    assert "events: 10 partitions would be added to 1.\n" in shown.out
    partitions = "Each: past (before 2014-04-01), p20140401 (before 2014-04-08), …, p20140527 (before 2014-06-03). "
    assert partitions in shown.out
    assert "ALTER TABLE" not in shown.out
    assert "KMDB_DAYS_PER_PARTITION=365 would do" in shown.out


def test_partitions_are_added_once(ready: Terminal) -> None:
    first = ready.kmdb("partition", **DATES)
    assert first.code == 0
    assert "events: 10 partitions added to " in first.out
    # KMDB_MIN_DATE counts the first time only.
    again = ready.kmdb("partition", KMDB_MAX_DATE=DATES["KMDB_MAX_DATE"])
    assert again.code == 0
    assert "events: 0 partitions added to " in again.out


def test_the_first_partitioning_needs_a_first_date(ready: Terminal) -> None:
    ended = ready.kmdb("partition")
    assert ended.code == 2
    assert ended.err.startswith("kmdb: KMDB_MIN_DATE is not set.")


def test_old_partitions_are_listed_and_dropped_after_confirmation(ready: Terminal) -> None:
    ready.kmdb("partition", **DATES)
    shown = ready.kmdb("partition", "--drop-before", "2014-04-20", "--dry-run")
    assert shown.out == (
        "ALTER TABLE events DROP PARTITION past, p20140401, p20140408;\n"
        "ALTER TABLE properties DROP PARTITION past, p20140401, p20140408;\n"
    )
    assert "properties: p20140401 (before 2014-04-08), 0 rows, " in shown.err
    assert ready.kmdb("partition", "--drop-before", "2014-04-20", standard_input="n\n").code == 1
    assert ready.kmdb("partition", "--drop-before", "2014-04-20", "--dry-run").out == shown.out
    assert ready.kmdb("partition", "--drop-before", "2014-04-20", standard_input="y\n").code == 1
    assert ready.kmdb("partition", "--drop-before", "2014-04-20", "--dry-run").out == shown.out
    dropped = ready.kmdb("partition", "--drop-before", "2014-04-20", "--yes")
    assert dropped.out == "Facts are kept from 2014-04-15 on.\n"
    again = ready.kmdb("partition", "--drop-before", "2014-04-20", "--yes")
    assert (again.code, again.out) == (0, "")
    assert again.err == "No partition ends before 2014-04-20: nothing to drop.\n"
    assert "  facts are kept from    2014-04-15 on; older facts were dropped\n" in ready.kmdb("status").out


def test_flush_requires_the_name_of_the_database(ready: Terminal, warehouse: Warehouse) -> None:
    ledger.record_failure(warehouse.engine, 1, "it is broken")
    for typed in ("n\n", "y\n", "\n", f"{warehouse.database}x\n"):
        refused = ready.kmdb("flush", standard_input=typed)
        assert refused.code == 1
        assert f"To delete every imported row of {warehouse.name}, type the name of the database" in refused.out
        assert count(warehouse, "revisions") == 1
    assert ready.kmdb("flush", standard_input=f"{warehouse.database}\n").code == 0
    assert count(warehouse, "revisions") == 0


def test_flush_yes_does_not_ask(ready: Terminal, warehouse: Warehouse) -> None:
    ledger.record_failure(warehouse.engine, 1, "it is broken")
    ended = ready.kmdb("flush", "--yes")
    assert ended.code == 0
    assert ended.out.endswith("is empty. Dagster's sensor will import everything again.\n")
    assert count(warehouse, "revisions") == 0


def test_status_shows_the_ledger_and_failures(ready: Terminal, warehouse: Warehouse) -> None:
    ledger.record_failure(warehouse.engine, 7, "raw_revisions: it is broken")
    ended = ready.kmdb("status")
    assert ended.code == 0
    assert "  revisions              0 imported, 0 absent, 1 failed\n" in ended.out
    assert ended.out.endswith("  failed: revision 7, raw_revisions: it is broken\n")


def test_status_shows_what_the_bucket_has_and_which_objects_are_not_read(ready: Terminal, tmp_path: Path) -> None:
    for key in ("revisions/3.json", "revisions/4.json", "2011/Jan/2011-01-01.json"):
        (tmp_path / "bucket" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bucket" / key).touch()
    bucket = str(tmp_path / "bucket")
    shown = ready.kmdb("status", KMDB_LOCAL_BUCKET=bucket)
    assert f"  bucket                 {bucket}: 2 revisions; not in yet: 3..4\n" in shown.out
    assert "  not read               KissMetrics's layout before October 2012 " in shown.out
    found = json.loads(ready.kmdb("status", "--json", KMDB_LOCAL_BUCKET=bucket).out)["bucket"]
    assert "2011/Jan/2011-01-01.json" in found["not read"]
    assert "2011" not in ready.kmdb("status", "--no-bucket", KMDB_LOCAL_BUCKET=bucket).out


def test_status_counts_what_is_outstanding_and_names_the_repair(
    ready: Terminal, warehouse: Warehouse, bucket: FolderOfRevisions
) -> None:
    for number in range(1, 5):
        bucket.put(number, event("visited site"))
    change(
        warehouse.engine,
        "INSERT INTO revisions (revision, etag, imported_at) VALUES (1, 'an older one', NOW())",
        "INSERT INTO changed_revisions (revision, etag, seen_at) VALUES (1, 'the one in the bucket', NOW())",
    )
    ledger.record_failure(warehouse.engine, 2, "raw_revisions: it is broken")
    repair = "run the job import_outstanding, or `kmdb import`"
    assert f"  outstanding            4 revisions (2 new, 1 changed, 1 failed): {repair}\n" in ready.kmdb("status").out
    shown = ready.kmdb("status", "--no-bucket").out
    assert f"  outstanding            2 revisions (0 new, 1 changed, 1 failed): {repair}\n" in shown


def test_status_compares_the_files_with_index_csv(ready: Terminal, tmp_path: Path) -> None:
    (tmp_path / "bucket" / "revisions" / "3.json").touch()
    (tmp_path / "bucket" / "index.csv").write_text("filename\nrevisions/2.json\nrevisions/3.json\n")
    shown = ready.kmdb("status", KMDB_LOCAL_BUCKET=str(tmp_path / "bucket")).out
    lost = "  index.csv              Restore lost files: index.csv lists revision 2, and the bucket lacks them.\n"
    assert lost in shown


def test_status_counts_people_that_have_facts(ready: Terminal, warehouse: Warehouse, tmp_path: Path) -> None:
    revisions = Revisions(warehouse, tmp_path)
    revisions.put(1, event("came", "bob"), event("came", "b2"), alias("bob", "b2"))
    revisions.resolve(2, event("came", "anna"))
    assert "  people                 1 with events or properties; 3 identities known\n" in ready.kmdb("status").out


def test_status_of_a_bucket_that_cannot_be_listed_shows_the_error_and_the_rest(ready: Terminal, tmp_path: Path) -> None:
    shown = ready.kmdb("status", KMDB_LOCAL_BUCKET=str(tmp_path / "nowhere"))
    assert shown.code == 0
    assert "  bucket                 cannot be listed. KMDB_LOCAL_BUCKET is " in shown.out
    assert "  revisions              0 imported" in shown.out


def test_status_json_is_readable_by_a_program(ready: Terminal, warehouse: Warehouse) -> None:
    ledger.record_failure(warehouse.engine, 7, "raw_revisions: it is broken")
    found = json.loads(ready.kmdb("status", "--json").out)
    assert found["totals"]["failed"] == 1
    assert found["failures"] == [[7, "raw_revisions: it is broken"]]
    assert found["partitions_until"] is None


def test_status_of_a_database_without_tables_names_the_command_to_run(terminal: Terminal, empty_database: str) -> None:
    ended = terminal.kmdb("status", DATABASE_URL=empty_database)
    assert ended.code == 1
    assert "run `kmdb migrate`" in ended.err


def test_realias_reports_what_it_moved(ready: Terminal) -> None:
    ended = ready.kmdb("realias")
    assert ended.code == 0
    assert ended.out.endswith("0 identities got another person; facts of 0 identities were moved.\n")


def test_a_dry_run_of_realias_names_the_command_that_applies_it(
    ready: Terminal, warehouse: Warehouse, tmp_path: Path
) -> None:
    Revisions(warehouse, tmp_path).put(1, event("came", "bob"), event("came", "b2"), alias("bob", "b2"))
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE user_map SET user_id = identity_id"))
    ended = ready.kmdb("realias", "--dry-run")
    assert ended.code == 0
    assert ended.out == (
        "1 identity would get another person. There would be 1 person instead of 2. "
        "Nothing is changed: `kmdb realias` applies it.\n"
    )
    assert ready.kmdb("realias").out.startswith("1 identity got another person; ")


def test_status_reports_dropped_indexes_until_they_are_built(ready: Terminal) -> None:
    assert ready.kmdb("index", "drop").code == 0
    assert "run `kmdb index build`" in ready.kmdb("status").out
    built = ready.kmdb("index", "build")
    assert (built.code, built.out) == (
        0,
        "The indexes of events and properties exist. Facts of 0 identities were moved.\n",
    )
    assert "kmdb index" not in ready.kmdb("status").out

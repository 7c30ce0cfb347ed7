"""The command `kmdb filter`."""

from contextlib import nullcontext

import dagster as dg
import pytest

from kmdb_dagster.dagster_ext import instance as instances
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import FolderOfRevisions, alias, event
from testing.revisions import rows
from testing.runs import import_range
from testing.terminal import Ended, Terminal

RELOAD = "A reload of 1 revision would remove {} and {}, and add 0 events and 0 property values.\n"


@pytest.fixture
def here(ready: Terminal, kmdb: Kmdb, bucket: FolderOfRevisions, instance: dg.DagsterInstance) -> Terminal:
    """A terminal, and an import of bob and anna."""
    bucket.put(1, event("came", "bob", plan="pro"), event("went", "anna", plan="pro"), alias("bob", "b2"))
    assert import_range(instance, kmdb, 1, 1).success
    (ready.folder / "lake").symlink_to(ready.folder.parent / "lake")
    return ready


def filter_(here: Terminal, *arguments: str, told: str = "") -> Ended:
    return here.kmdb("filter", *arguments, standard_input=told)


def names(warehouse: Warehouse, table: str) -> list[str]:
    return [name for (name,) in rows(warehouse.engine, f"SELECT name FROM {table} ORDER BY name")]  # noqa: S608 - ours


def reload_of(events: str, properties: str) -> str:
    return RELOAD.format(events, properties)


def test_a_dry_run_counts_rows_and_changes_nothing(here: Terminal, warehouse: Warehouse) -> None:
    assert filter_(here, "blacklist", "add", "--dry-run", "plan") == (
        0,
        reload_of("0 events", "2 property values"),
        "",
    )
    assert names(warehouse, "blacklisted_properties") == []
    assert filter_(here, "preview").out.startswith("A reload of 0 revisions would remove 0 events")


def test_a_name_is_added_listed_and_removed(here: Terminal, warehouse: Warehouse) -> None:
    added = filter_(here, "whitelist", "add", "came", "signed up")
    assert added.out == (
        "whitelisted_events: 2 added, 0 removed.\n"
        f"{reload_of('1 event', '1 property value')}"
        "Run `kmdb filter apply` to reload.\n"
    )
    assert filter_(here, "whitelist", "list").out == "came\nsigned up\n"
    assert filter_(here, "preview").out == reload_of("1 event", "1 property value")
    filter_(here, "whitelist", "remove", "signed up", "came")
    assert names(warehouse, "whitelisted_events") == []


def test_an_identity_is_asked_for_or_read_from_a_file_and_shown_only_on_request(
    here: Terminal, warehouse: Warehouse
) -> None:
    asked = filter_(here, "ignore", "add", told="bob\n")
    assert asked.out.startswith(f"ignored_users: 1 added, 0 removed.\n{reload_of('1 event', '1 property value')}")
    (here.folder / "people.txt").write_bytes(b'"anna"\r\n carl@example.com \r\n')
    filter_(here, "ignore", "add", "people.txt")
    assert names(warehouse, "ignored_users") == ["anna", "bob", "carl@example.com"]
    counted = filter_(here, "ignore", "list")
    assert (counted.out, counted.err) == ("3 identities.\n", "")
    assert filter_(here, "ignore", "list", "--show-identities").out == "anna\nbob\ncarl@example.com\n"
    filter_(here, "ignore", "remove", "-", told="bob\nanna\n")
    assert names(warehouse, "ignored_users") == ["carl@example.com"]


def test_an_identity_as_an_argument_is_refused(here: Terminal) -> None:
    ended = filter_(here, "ignore", "add", "bob")
    assert ended.code == 2
    assert "No such file or directory" in ended.err


def test_a_placeholder_says_which_command_puts_it_into_force(here: Terminal) -> None:
    added = filter_(here, "placeholder", "add", told="b2\n")
    assert added.out == (
        "placeholder_identities: 1 added, 0 removed.\n"
        "Placeholders exclude no rows. `kmdb realias` or `kmdb filter apply` puts the change into force.\n"
    )
    assert "another rule" in filter_(here, "list").out


def test_the_overview_and_the_status_name_the_revisions_that_were_loaded_with_other_filters(here: Terminal) -> None:
    zero = "0 ignored users, 0 whitelisted events, 0 blacklisted properties, 0 placeholder identities\n"
    assert filter_(here, "list").out == f"filters        {zero}"
    filter_(here, "blacklist", "add", "plan")
    other = "revision 1: loaded with other filters, run `kmdb filter apply`\n"
    assert filter_(here, "list").out.endswith(f"other filters  {other}")
    assert other in here.kmdb("status").out
    assert '"other": [1]' in here.kmdb("status", "--json").out


def test_apply_rebuilds_the_map_and_requests_a_reload_of_just_the_facts(
    here: Terminal, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "open_instance", lambda: nullcontext(instance))
    monkeypatch.setattr(instances, "require_daemon", lambda _: None)
    nothing = "Nothing to reload: every imported revision follows the filters, or is being loaded.\n"
    assert filter_(here, "apply").out == nothing
    filter_(here, "ignore", "add", told="b2\n")
    applied = filter_(here, "apply")
    (backfill,) = instance.get_backfills()
    assert applied.out == f"1 identity got another person.\nBackfill {backfill.backfill_id}: 1 revision.\n"
    assert backfill.asset_backfill_data
    keys = {key.to_user_string() for key in backfill.asset_backfill_data.target_subset.asset_keys}
    assert keys == {"events", "properties"}

"""The check of the asset `columnar_facts`."""

import dagster as dg

from kmdb_dagster.columnar.manifest import read_manifest
from kmdb_dagster.columnar.status import REBUILD, REFRESH, compare_with_ledger
from kmdb_dagster.dagster_ext.asset_keys import COLUMNAR_FACTS
from kmdb_dagster.dagster_ext.failures import as_dagster_failure
from kmdb_dagster.defs.resources import Kmdb


@dg.asset_check(
    asset=COLUMNAR_FACTS,
    description="The files of the columnar copy hold as many facts as the ledger had when they were written. If not, "
    "run `kmdb columnar rebuild`; if it fails again, see the check `facts_agree_with_ledger`.",
)
def columnar_agrees_with_ledger(kmdb: Kmdb) -> dg.AssetCheckResult:
    """Count the rows in the files."""
    settings = kmdb.settings()
    with as_dagster_failure():
        manifest = read_manifest(settings.columnar_folder)
        if manifest is None:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"repair": REFRESH})
        found = compare_with_ledger(settings.columnar_folder, manifest)
    return dg.AssetCheckResult(
        passed=found.agrees,
        metadata={
            "events_in_the_copy": found.rows["events"],
            "properties_in_the_copy": found.rows["properties"],
            "events_in_the_ledger": found.ledger["events"],
            "properties_in_the_ledger": found.ledger["properties"],
            "unreadable_files": found.unreadable,
            **({} if found.agrees else {"repair": REBUILD}),
        },
    )

"""Dagster's partitions definition. One partition is one revision of the export.

`dagster_ext/partition_registry` adds the keys. The time partitions of MySQL tables are in `warehouse/maintenance`.
"""

import dagster as dg

from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME

REVISIONS = dg.DynamicPartitionsDefinition(name=PARTITIONS_NAME)
"""The keys are revision numbers in decimal, ascending and without gaps."""

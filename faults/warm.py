"""The module that importing processes are forked from, so that Dagster is loaded once."""

import dagster as dg

from kmdb_dagster.dagster_ext.partition_registry import PARTITIONS_NAME
from kmdb_dagster.definitions import definitions

with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions(PARTITIONS_NAME, ["1"])
    instance.get_dynamic_partitions(PARTITIONS_NAME)
definitions().resolve_job_def("import_revisions")

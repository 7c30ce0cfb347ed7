"""Tags of jobs. dagster.yaml limits concurrency by them."""

from kmdb_dagster.dagster_ext.run_queue import DDL_TAG, TRUE, UNLESS_DRY_RUN

DDL_TAGS = {DDL_TAG: TRUE}
"""Jobs that change tables run one at a time."""

DDL_UNLESS_DRY_RUN_TAGS = {DDL_TAG: UNLESS_DRY_RUN}
"""So do jobs that are a dry run by default, if it is turned off. A dry run waits for none."""

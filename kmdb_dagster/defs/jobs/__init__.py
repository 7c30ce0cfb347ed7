"""The jobs by subject: `imports`, `filters`, `people`, `tables`, `checks`, `history`, `questions`."""

from kmdb_dagster.defs.jobs.checks import check_everything
from kmdb_dagster.defs.jobs.filters import apply_filters, change_filters
from kmdb_dagster.defs.jobs.history import purge_history
from kmdb_dagster.defs.jobs.imports import (
    import_outstanding,
    import_range,
    import_revisions,
    record_loaded,
    scan_bucket,
)
from kmdb_dagster.defs.jobs.people import forget, realias_job
from kmdb_dagster.defs.jobs.questions import ask_job
from kmdb_dagster.defs.jobs.tables import build_indexes, drop_indexes, drop_partitions, partition_tables

JOBS = (
    apply_filters,
    ask_job,
    build_indexes,
    change_filters,
    check_everything,
    drop_indexes,
    drop_partitions,
    forget,
    import_outstanding,
    import_range,
    import_revisions,
    partition_tables,
    purge_history,
    realias_job,
    record_loaded,
    scan_bucket,
)
"""All but `answer_questions`, which exists if KMDB_QUESTIONS is set."""

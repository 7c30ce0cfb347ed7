"""The asset checks, in files with the names of their assets. ``revisions``: of the revisions of a run."""

from kmdb_dagster.defs.asset_checks import filters, warehouse

CHECKS = [*warehouse.CHECKS, filters.filters_in_force]
"""The checks of all imported data, which `check_everything` runs."""

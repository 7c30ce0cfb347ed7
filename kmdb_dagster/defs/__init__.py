"""Dagster definitions and nothing else, in modules named with Dagster's words.

`assets`, `asset_checks`, `jobs`, `schedules`, `sensors`, `resources`, `partitions`. The work is done in
the rooms below. What extends Dagster is in `dagster_ext`.
"""

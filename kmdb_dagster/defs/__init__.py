"""Dagster definitions and nothing else, in modules named with Dagster's words.

`assets`, `asset_checks` (of all imported data), `revision_checks` (of a run's revisions), `jobs`, `schedules`,
`sensors`, `resources`, `partitions`. The work is done in the rooms below. What extends Dagster is in `dagster_ext`.
"""

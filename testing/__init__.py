"""Fixtures and helpers that the tests, `faults` and `benchmarks` share: servers' databases, buckets, runs, workers.

It imports kmdb_dagster and dev, and never from the tests, `faults` or `benchmarks`.
"""

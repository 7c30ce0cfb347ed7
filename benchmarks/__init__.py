"""Benchmarks: each module is a command, and README.md has the results."""

"""Disturb imports, then compare every table: `python -m faults`. See docs/explanation/reliability.md."""

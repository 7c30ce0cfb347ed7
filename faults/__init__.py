"""Imports that are disturbed, and what is in the tables afterwards: `python -m faults`. See docs/reliability.md."""

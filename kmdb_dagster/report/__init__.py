"""The import report: series computed from the ledger (``figures``), and their charts (``import_charts``).

Knows neither SQL nor Dagster.
"""

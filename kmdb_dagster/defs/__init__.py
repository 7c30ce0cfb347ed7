"""Dagster's view of the project. The only folder that imports dagster; nothing of the work itself is done here.

``resources`` opens what the settings name, ``revisions`` are the partitions, ``assets`` and ``jobs`` call
``pipeline`` and ``warehouse``, ``sensors`` and ``schedules`` decide when.
"""

"""Incidents, and the channels that report them. Knows nothing of Dagster.

``incidents`` keeps the open incidents and decides what to report; ``channels`` delivers the messages.
"""

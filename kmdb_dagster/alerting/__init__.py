"""What is worth a message to people, and the channels that carry it. Knows nothing of Dagster.

``troubles`` keeps what is wrong now and says what is news of it; ``channels`` delivers.
"""

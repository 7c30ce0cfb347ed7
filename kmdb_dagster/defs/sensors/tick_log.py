"""What a tick says, in its log too: a tick that starts no run has no other place in the UI where it is kept whole."""

import dagster as dg


def skip(context: dg.SensorEvaluationContext, text: str) -> dg.SkipReason:
    """Return the reason why a tick starts no run, and write it to the log of the tick."""
    context.log.info(text)
    return dg.SkipReason(text)

"""When the unpartitioned assets are materialized by themselves, and how old they may be.

The sensor `every_night` evaluates the conditions. None looks at the revision assets, because that does not scale to
100,000 partitions: `new_revisions` requests those (docs/decisions/0036-automation-conditions.md).
"""

from datetime import timedelta

import dagster as dg

from kmdb_dagster.errors import RequestError

IDLE = ~dg.AutomationCondition.in_progress()

EVERY_NIGHT = (dg.AutomationCondition.cron_tick_passed("47 4 * * *", "UTC") & IDLE).with_label("every night, 04:47 UTC")

EVERY_MORNING = (dg.AutomationCondition.cron_tick_passed("17 6 * * *", "UTC") & IDLE).with_label(
    "every morning, 06:17 UTC"
)


def at_schedule(cron: str) -> dg.AutomationCondition[dg.AssetKey]:
    """Return the condition that a tick of a schedule has passed.

    Args:
        cron: When, in UTC: minute, hour, day of the month, month, day of the week.

    Raises:
        RequestError: This is not a schedule.
    """
    try:
        # Conditions have no public error for a wrong schedule; definitions of schedules have one.
        dg.ScheduleDefinition(name="probe", target=dg.AssetSelection.all(), cron_schedule=cron)
    except dg.DagsterInvalidDefinitionError:
        raise RequestError(
            f"schedule = {cron!r} is not a schedule: expected cron, as in '17 6 * * 1' (Mondays at 06:17 UTC)."
        ) from None
    return (dg.AutomationCondition.cron_tick_passed(cron, "UTC") & IDLE).with_label(f"at {cron} UTC")


AFTER_THE_WAREHOUSE = dg.AutomationCondition.eager().with_label("whenever warehouse was materialized")

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(hours=26))
"""A warning after a night that was missed, a failure after a week of them."""

"""The types of a question's parameters: how each is written. A type's name is its kind in the catalog."""

from datetime import datetime, tzinfo
from typing import Any

import click

from kmdb_dagster.questions.periods import Length, parse_length
from kmdb_dagster.questions.segment import Condition, parse_condition
from kmdb_dagster.questions.span import parse_duration
from kmdb_dagster.time_zones import time_zone


class EventName(click.types.StringParamType):
    """A parameter that is the name of an event, exactly as in the export."""

    name = "event"


class PropertyName(click.types.StringParamType):
    """A parameter that is the name of a property, exactly as in the export."""

    name = "property"


class Duration(click.ParamType[int]):
    """A parameter that is a duration, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Parse a duration such as ``7d``."""
        try:
            return value if isinstance(value, int) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A parameter that is a date or a time, in the zone of the question."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's
        """Parse a date or a time of ISO 8601."""
        try:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date: expected 2014-01-31 or '2014-01-31 12:30'", param, ctx)


class PeriodLength(click.ParamType[Length]):
    """A parameter that is the length of a period: seconds, or months of the calendar."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Length:  # noqa: ANN401 - click's
        """Parse a length such as ``1d`` or ``1mo``."""
        try:
            return parse_length(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeZone(click.ParamType[tzinfo]):
    """A parameter that is the name of a time zone."""

    name = "time zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:  # noqa: ANN401 - click's
        """Look up a name such as ``Europe/London``."""
        try:
            return value if isinstance(value, tzinfo) else time_zone(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ConditionType(click.ParamType[Condition]):
    """A parameter that is a condition on the value of a property."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:  # noqa: ANN401 - click's
        """Parse a condition such as ``plan name=crew``."""
        try:
            return value if isinstance(value, Condition) else parse_condition(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

"""The types of a question's parameters: how each is written. A type's name is its kind in the catalog."""

from datetime import datetime
from typing import Any

import click

from kmdb_dagster.questions.segment import Condition, parse_condition
from kmdb_dagster.questions.span import parse_duration, parse_moment


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
    """A parameter that is a date or a time, in UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's
        """Parse a date or a time of ISO 8601."""
        try:
            return value if isinstance(value, datetime) else parse_moment(value)
        except ValueError:
            self.fail(f"{value!r} is not a date: expected 2014-01-31 or '2014-01-31 12:30' (UTC)", param, ctx)


class ConditionType(click.ParamType[Condition]):
    """A parameter that is a condition on the value of a property."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:  # noqa: ANN401 - click's
        """Parse a condition such as ``plan name=crew``."""
        try:
            return value if isinstance(value, Condition) else parse_condition(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

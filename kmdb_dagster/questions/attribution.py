"""Attribution: by which value of a property a person or an event is grouped, of all values that the person had.

    funnel "visited site" "signed up" --by "campaign name" --attribution last-before

The names are those of KM's reports: first ever, last ever (current value), first and last in date range. KM's last
touch, the value at the time of an event, is `Attribution.LAST_BEFORE`. Sources: KM's support pages "Attribution" and
"Advanced Properties". ``labels`` applies it.
"""

from enum import StrEnum


class Attribution(StrEnum):
    """By which value a person is grouped. In `Attribution.OWN` an event is grouped by its own value."""

    FIRST_EVER = "first-ever"
    LAST_EVER = "last-ever"
    FIRST_IN_SPAN = "first-in-span"
    LAST_IN_SPAN = "last-in-span"
    FIRST_BEFORE = "first-before"
    LAST_BEFORE = "last-before"
    OWN = "own"

    @property
    def is_last(self) -> bool:
        """Whether the last value counts, not the first."""
        return self.startswith("last")

    @property
    def is_before(self) -> bool:
        """Whether only values up to an event count. The event's own value is one of them."""
        return self.endswith("before")

    @property
    def is_ever(self) -> bool:
        """Whether values from after the span count too."""
        return self.endswith("ever")

    @property
    def is_in_span(self) -> bool:
        """Whether only values in the span count."""
        return self.endswith("in-span")

    def described(self, name: str | None) -> str:
        """Return the end of a title that says how people or events are grouped; nothing for no property."""
        if not name:
            return ""
        ending = {"ever": " ever", "before": " before the event", "in-span": " in the span"}
        order, _, place = self.partition("-")
        is_default = self in {Attribution.FIRST_EVER, Attribution.OWN}
        return f", by {name}" if is_default else f", by {order} {name}{ending[place]}"


OF_PEOPLE = tuple(attribution for attribution in Attribution if attribution is not Attribution.OWN)
"""The attributions of people. Events have all."""

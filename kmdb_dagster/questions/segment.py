"""Segments: which people, and which of their events, a question is about. One place for all questions.

    funnel A B --where "plan name=crew" --did activated --did-not cancelled --in-cohort people.txt
    trend billed --where-event billed "billing amount>10"

All conditions must hold. Here is how they are written; ``restriction`` applies them.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

IS_SET, IS_NOT_SET, CONTAINS = "is set", "is not set", "contains"
COMPARISONS = (">", "<", ">=", "<=")
_CONDITION = re.compile(
    r"""\s* (?: "(?P<quoted>[^"]+)" | (?P<plain>.+?) )
    (?: \s+ (?P<set>is\ set | is\ not\ set) \s*
      | (?: \s* (?P<sign> != | >= | <= | = | > | < ) | \s+ (?P<contains>contains) \s ) \s* (?P<value>.*?) \s* )""",
    re.VERBOSE | re.DOTALL,
)
NUMBER = "^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,2})?$"
"""Values that a comparison takes for numbers."""


@dataclass(frozen=True)
class Condition:
    """A condition on the value of a property: ``plan name=crew``."""

    name: str
    """The property's."""
    operator: str
    """One of ``=``, ``!=``, ``contains``, `COMPARISONS`, `IS_SET`, `IS_NOT_SET`."""
    value: str = ""

    @property
    def is_negated(self) -> bool:
        """Whether it holds where its opposite does not: also without any value."""
        return self.operator in {"!=", IS_NOT_SET}

    def __str__(self) -> str:
        """Write it as a user does."""
        words = self.operator if self.operator in {IS_SET, IS_NOT_SET} else f"{self.operator} {self.value or '“”'}"
        return f"{self.name} {words}"


@dataclass(frozen=True)
class Segment:
    """The people, and the events, for which all conditions hold."""

    where: tuple[Condition, ...] = ()
    """On a person's latest value of a property, at the end of the span."""
    where_event: tuple[tuple[str, Condition], ...] = ()
    """An event's name, and a condition on its own value: events of this name without it do not count."""
    did: tuple[str, ...] = ()
    """Events that a person must have done in the span."""
    did_not: tuple[str, ...] = ()
    """Events that a person must not have done in the span."""
    in_cohort: tuple[Path, ...] = ()
    """Files with an identity on each line; a person must be in each of them."""

    def __str__(self) -> str:
        """Write the conditions as the end of a sentence; nothing for all people."""
        parts = [
            *(f"with {condition}" for condition in self.where),
            *(f"who did “{event}”" for event in self.did),
            *(f"who did not “{event}”" for event in self.did_not),
            *(f"in {file.name}" for file in self.in_cohort),
        ]
        events = [f"“{event}” only with {condition}" for event, condition in self.where_event]
        return "; ".join([*([f"people {', '.join(parts)}"] if parts else []), *events])


EVERYBODY = Segment()


def parse_condition(text: str) -> Condition:
    """Read a condition: ``plan name=crew``, ``city contains mouth``, ``nights>2``, ``email is set``.

    A property whose name contains an operator stands in double quotes, and so may a value.

    Raises:
        ValueError: The text is not a condition, or compares with something that is not a number.
    """
    found = _CONDITION.fullmatch(text)
    if not found:
        raise ValueError(
            f"{text!r} is not a condition: expected as in 'plan name=crew', with =, !=, contains, >, <, >=, <=, "
            "'is set' or 'is not set'"
        )
    name = found["quoted"] or found["plain"].strip()
    operator = found["set"] or found["sign"] or found["contains"]
    value = _unquoted(found["value"] or "")
    if operator in COMPARISONS and not _is_number(value):
        raise ValueError(f"{operator} compares numbers, and {value!r} is not a number")
    if operator == CONTAINS and not value:
        raise ValueError("'contains' needs a text")
    return Condition(name, operator, value)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(NUMBER, text)) and math.isfinite(float(text))

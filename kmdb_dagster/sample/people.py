"""Who the visitors are and what they will do: the planted truth, each as a function of seed, cohort and place.

The lines that come of it are made in ``journey``. Randomness is a digest and never Python's own: it has to be the
same in every process and every version of Python.
"""

from base64 import b64encode
from hashlib import blake2b
from typing import NamedTuple

from kmdb_dagster.sample import words
from kmdb_dagster.sample.clock import SPAN

NEWSLETTER = "skippers newsletter"
SPRING = "spring berths"

# Thresholds of a random byte, out of 256; the package's docstring states them in per cent.
DIRECT, SEARCH, FROM_SPRING = 96, 192, 224
SIGN_UP, SIGN_UP_NEWSLETTER = 48, 96
ACTIVATE = 160
UPGRADE = {"free": 64, "crew": 128}
CANCEL = 64

# People of one cohort; more would run into the account numbers of the next.
COHORT_LIMIT = 1_000_000
# A first visit with sign-up takes less than this many seconds: 19 lines with pauses of at most 46 s.
LONGEST_VISIT = 900
# A visit that goes on in the next revision has to end its first part in this one: 12 lines.
LONGEST_ARRIVAL = 600


def roll(*parts: int | str) -> bytes:
    """64 random bytes that belong to the parts."""
    return blake2b("/".join(map(str, parts)).encode()).digest()


def anonymous_id(dice: bytes) -> str:
    """An anonymous identity of KM's form in dumps: 27 characters of lower-cased Base64 and ``=``."""
    return b64encode(dice[:20]).decode().lower()


class Person(NamedTuple):
    """A visitor. ``dice`` are 64 bytes: the first 20 make the anonymous id, each of the others decides one thing."""

    cohort: int
    place: int
    dice: bytes

    @property
    def anonymous(self) -> str:
        """The identity of the first browser."""
        return anonymous_id(self.dice)

    @property
    def second_browser(self) -> str | None:
        """The anonymous identity of a second browser, for one person in four."""
        return anonymous_id(self.dice[32:52]) if self.dice[20] < 64 else None

    @property
    def account(self) -> str:
        """The number of the account."""
        return str(self.cohort * COHORT_LIMIT + self.place)

    @property
    def email(self) -> str:
        """The address, which no one else has."""
        first, last = words.FIRST[self.dice[21] & 7], words.LAST[self.dice[22] & 7]
        return f"{first}.{last}.{self.cohort}.{self.place}@{words.DOMAINS[self.dice[23] & 3]}"

    @property
    def campaign(self) -> str | None:
        """The campaign that brought this person, if one did."""
        if self.dice[24] < SEARCH:
            return None
        return SPRING if self.dice[24] < FROM_SPRING else NEWSLETTER

    @property
    def searched(self) -> bool:
        """Came from a search engine."""
        return DIRECT <= self.dice[24] < SEARCH

    @property
    def signs_up(self) -> bool:
        """Will sign up."""
        return self.dice[25] < (SIGN_UP_NEWSLETTER if self.dice[24] >= FROM_SPRING else SIGN_UP)

    @property
    def plan(self) -> str:
        """The plan chosen at sign-up."""
        return "free" if self.dice[26] < 128 else "crew"

    @property
    def activates(self) -> bool:
        """Will sign up and use the service."""
        return self.signs_up and self.dice[27] < ACTIVATE

    @property
    def upgrades(self) -> bool:
        """Will sign up, use the service and pay for more."""
        return self.activates and self.dice[28] < UPGRADE[self.plan]

    @property
    def cancels(self) -> bool:
        """Will pay once only."""
        return self.upgrades and self.dice[29] < CANCEL

    @property
    def straddles(self) -> bool:
        """Looks around at the end of a revision and signs up, if at all, at the start of the next."""
        return self.place % 5 == 4

    @property
    def arrives_after(self) -> int:
        """Seconds from the start of the cohort's revision to the first line."""
        early = SPAN - LONGEST_VISIT
        return SPAN - LONGEST_ARRIVAL - self.dice[30] % 60 if self.straddles else self.dice[30] * early // 256


def person_at(seed: int, cohort: int, place: int) -> Person:
    """The person at a place of a cohort."""
    return Person(cohort, place, roll(seed, "person", cohort, place))

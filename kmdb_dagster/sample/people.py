"""Define the visitors and their behaviour (the planted truth) as functions of seed, cohort and place.

``journey`` writes their lines. Random bytes are digests, so they are the same in each process and version of Python.
"""

from base64 import b64encode
from hashlib import blake2b
from typing import NamedTuple

from kmdb_dagster.sample import words
from kmdb_dagster.sample.clock import SPAN

NEWSLETTER = "skippers newsletter"
SPRING = "spring berths"

# Thresholds of a random byte, out of 256. The package docstring has them in per cent.
DIRECT, SEARCH, FROM_SPRING = 96, 192, 224
SIGN_UP, SIGN_UP_NEWSLETTER = 48, 96
ACTIVATE = 160
UPGRADE = {"free": 64, "crew": 128}
CANCEL = 64

# Account numbers of one cohort.
COHORT_LIMIT = 1_000_000
# A first visit with sign-up takes less than this many seconds: 19 lines with pauses of at most 46 s.
LONGEST_VISIT = 900
# The first part of a visit that continues in the next revision takes less than this: 12 lines.
LONGEST_ARRIVAL = 600


def roll(*parts: int | str) -> bytes:
    """Return 64 pseudo-random bytes that depend on the parts only."""
    return blake2b("/".join(map(str, parts)).encode()).digest()


def anonymous_id(dice: bytes) -> str:
    """Return an anonymous identity in KM's form: 27 characters of lower-case Base64 and ``=``."""
    return b64encode(dice[:20]).decode().lower()


class Person(NamedTuple):
    """A visitor. Of the 64 bytes of ``dice``, 20 make the anonymous identity; each other byte decides one property."""

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
        """The e-mail address, unique to the person."""
        first, last = words.FIRST[self.dice[21] & 7], words.LAST[self.dice[22] & 7]
        return f"{first}.{last}.{self.cohort}.{self.place}@{words.DOMAINS[self.dice[23] & 3]}"

    @property
    def campaign(self) -> str | None:
        """The campaign of the first visit, if there is one."""
        if self.dice[24] < SEARCH:
            return None
        return SPRING if self.dice[24] < FROM_SPRING else NEWSLETTER

    @property
    def searched(self) -> bool:
        """Whether the first visit came from a search engine."""
        return DIRECT <= self.dice[24] < SEARCH

    @property
    def signs_up(self) -> bool:
        """Whether the person signs up."""
        return self.dice[25] < (SIGN_UP_NEWSLETTER if self.dice[24] >= FROM_SPRING else SIGN_UP)

    @property
    def plan(self) -> str:
        """The plan chosen at sign-up."""
        return "free" if self.dice[26] < 128 else "crew"

    @property
    def activates(self) -> bool:
        """Whether the person signs up and uses the service."""
        return self.signs_up and self.dice[27] < ACTIVATE

    @property
    def upgrades(self) -> bool:
        """Whether the person signs up, uses the service and upgrades."""
        return self.activates and self.dice[28] < UPGRADE[self.plan]

    @property
    def cancels(self) -> bool:
        """Whether the person upgrades, and cancels after one bill."""
        return self.upgrades and self.dice[29] < CANCEL

    @property
    def straddles(self) -> bool:
        """Whether the first visit spans two revisions, with any sign-up in the second."""
        return self.place % 5 == 4

    @property
    def arrives_after(self) -> int:
        """Seconds from the start of the cohort's revision to the first line."""
        early = SPAN - LONGEST_VISIT
        return SPAN - LONGEST_ARRIVAL - self.dice[30] % 60 if self.straddles else self.dice[30] * early // 256


def person_at(seed: int, cohort: int, place: int) -> Person:
    """Return the person at a place of a cohort.

    Args:
        seed: the seed of the sample.
        cohort: the revision in which the person arrives.
        place: the place within the cohort, from 0.
    """
    return Person(cohort, place, roll(seed, "person", cohort, place))

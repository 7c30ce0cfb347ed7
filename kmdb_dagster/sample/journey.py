"""Write the lines of a visitor for each stage of the journey. ``people`` and ``revision`` choose the visitors."""

from collections.abc import Callable
from typing import TypeAlias

from kmdb_dagster.sample import words
from kmdb_dagster.sample.clock import DAY
from kmdb_dagster.sample.lines import Entries, Session
from kmdb_dagster.sample.people import Person

Stage: TypeAlias = Callable[[Entries, Person, int], None]
"""Append a person's lines of one revision. The last argument is the revision's first second, since 1970."""


def arrive(entries: Entries, person: Person, start: int) -> None:
    """Write the first visit, and the sign-up if it is in the same revision."""
    session = Session(entries, person.anonymous, start + person.arrives_after, person.dice)
    _land(session, person)
    headline = "long" if person.dice[31] < 128 else "short"
    session.event("saw headline", f'"headline test":"{headline}"')
    look_around(session, person.dice, 1 + person.dice[52] % 6)
    if person.signs_up and not person.straddles:
        _sign_up(session, person)


def sign_up_late(entries: Entries, person: Person, start: int) -> None:
    """Write the sign-up of a first visit that began in the previous revision."""
    if person.signs_up and person.straddles:
        _sign_up(Session(entries, person.anonymous, start + person.dice[53], person.dice), person)


def activate(entries: Entries, person: Person, start: int) -> None:
    """Write the first use. One person in two gives an e-mail address, which makes a chain of aliases."""
    if not person.activates:
        return
    session = Session(entries, person.account, start + 4 * person.dice[54], person.dice)
    session.event("activated", _berth(person.dice, 40), f'"plan name":"{person.plan}"')
    if person.dice[55] < 128:
        session.alias(person.account, person.email)
        session.identity = person.email
    session.event("booked berth", _berth(person.dice, 41), f'"nights":"{words.NIGHTS[person.dice[56] & 3]}"')


def upgrade(entries: Entries, person: Person, start: int) -> None:
    """Write the upgrade and its first bill."""
    if not person.upgrades:
        return
    session = Session(entries, person.account, start + 5 * person.dice[57], person.dice)
    session.event("upgraded", '"plan name":"fleet"', f'"former plan name":"{person.plan}"')
    bill(entries, person, session.t)


def come_back(entries: Entries, person: Person, start: int) -> None:
    """Write a visit of an active person on another day, for some people first in a new browser."""
    if not person.activates:
        return
    t = start + 3 * person.dice[58]
    if person.second_browser:
        stranger = Session(entries, person.second_browser, t, person.dice)
        look_around(stranger, person.dice, 2)
        stranger.alias(person.second_browser, person.account)
        t = stranger.t
    session = Session(entries, person.account, t, person.dice)
    session.event("visited site", f'"url":"{words.SITE}/home"', '"referrer":"Direct"', '"returning":"1"')
    look_around(session, person.dice[::-1], 2 + person.dice[59] % 4)


def cancel(entries: Entries, person: Person, start: int) -> None:
    """Write the cancellation of a paid plan."""
    if person.cancels:
        session = Session(entries, person.account, start + 6 * person.dice[60], person.dice)
        session.event("cancelled", '"plan name":"fleet"', '"reason":""')


def bill_again(entries: Entries, person: Person, start: int) -> None:
    """Write the bill of a later month."""
    if person.upgrades and not person.cancels:
        bill(entries, person, start + 7 * person.dice[61])


def bill(entries: Entries, person: Person, t: int) -> None:
    """Write a bill, as the site's server sends it."""
    amount = f'"billing amount":"{words.PRICE[person.plan]}"'
    session = Session(entries, person.account, t, person.dice)
    session.event("billed", amount, '"plan name":"fleet"', '"billing description":"fleet, one month"')


STAGES: tuple[tuple[int, Stage], ...] = (
    (0, arrive),
    (1, sign_up_late),
    (2, activate),
    (3, upgrade),
    (DAY, come_back),
    (2 * DAY, cancel),
    (7 * DAY, come_back),
    (30 * DAY, bill_again),
    (60 * DAY, bill_again),
    (90 * DAY, bill_again),
)
"""Each stage, with its distance in revisions from the first visit of the cohort."""


def _land(session: Session, person: Person) -> None:
    token = person.dice.hex()
    if person.campaign:
        source = person.campaign.replace(" ", "+")
        url = f"{words.SITE}/?utm_source=mail&utm_campaign={source}&click={token}"
        session.event("visited site", f'"url":"{url}"', '"referrer":"Direct"')
        session.event("ad campaign hit", f'"campaign name":"{person.campaign}"', '"campaign source":"mail"')
    elif person.searched:
        _land_from_search(session, person.dice, token)
    else:
        session.event("visited site", f'"url":"{words.SITE}/"', '"referrer":"Direct"')


def _land_from_search(session: Session, dice: bytes, token: str) -> None:
    engine, choice = words.ENGINES[dice[62] & 1], dice[63] & 3
    referrer = (
        f"https://{engine}/url?sa=t&rct=j&q={words.SEARCHES_IN_URL[choice]}&esrc=s&source=web&cd=3&ved={token[:40]}"
        f"&url=https%3A%2F%2Fwww.example.com%2Fharbours%2F&ei={token[40:64]}&usg={token[64:]}&bvm=bv.{token[:20]}"
    )
    session.event("visited site", f'"url":"{words.SITE}/harbours/"', f'"referrer":"{referrer}"')
    search = f'"search terms":"{words.SEARCHES[choice]}"'
    session.event("search engine hit", f'"search engine":"{engine}"', search, f'"referrer":"{referrer}"')


def _sign_up(session: Session, person: Person) -> None:
    late_alias = person.dice[33] < 32
    if not late_alias:
        session.alias(person.anonymous, person.account, times=1 + (person.dice[34] < 64))
        session.identity = person.account
    session.event("signed up", f'"plan name":"{person.plan}"', f'"url":"{words.SITE}/join"')
    if late_alias:
        # As on a site that identifies the visitor on the next page: the event has the anonymous identity.
        session.alias(person.anonymous, person.account)
        session.identity = person.account
    name = f"{words.FIRST_SHOWN[person.dice[21] & 7]} {words.LAST_SHOWN[person.dice[22] & 7]}"
    session.properties(f'"name":"{name}"', f'"email":"{person.email}"')
    session.properties(f'"city":"{words.CITIES[person.dice[35] & 15]}"', '"gender":""')
    session.properties(f'"boat name":"{words.BOATS[person.dice[36] & 7]}"')


def _berth(dice: bytes, at: int) -> str:
    return f'"harbour":"{words.HARBOURS[dice[at] & 7]}"'


def look_around(session: Session, dice: bytes, pages: int, *more: str) -> None:
    """Write page views, each with the previous page as its referrer, and a search for a berth.

    Args:
        session: The session of the visitor.
        dice: Random bytes that select the pages.
        pages: The number of page views.
        more: Additional fields of each page view.
    """
    token = dice.hex()
    seen = f"{words.SITE}/harbours/?from={token[:100]}&sort=distance&around={token[28:]}"
    for page in range(pages):
        pick = dice[page]
        url = f"{words.SITE}/{words.HARBOURS[pick & 7]}/{words.PAGES[pick >> 3 & 7]}?n={pick}"
        session.event("page view", f'"viewed url":"{url}"', f'"referrer":"{seen}"', *more)
        if page:
            seen = url
    city = f'"city":"{words.CITIES[dice[8] & 15]}"'
    length = f'"boat length":"{words.LENGTHS[dice[9] & 7]}"'
    session.event("searched berths", city, length, f'"nights":"{words.NIGHTS[dice[10] & 3]}"')

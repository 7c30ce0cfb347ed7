"""One revision of a sample: who is in it, its lines in order of receipt, the odd ones among them.

What people do is told in ``journey``, what odd lines look like in ``oddities``.
"""

from collections.abc import Iterator
from operator import itemgetter

from kmdb_dagster.sample.clock import SPAN, start_of
from kmdb_dagster.sample.journey import STAGES, look_around
from kmdb_dagster.sample.lines import Entries, Session
from kmdb_dagster.sample.oddities import Material, places_of
from kmdb_dagster.sample.people import anonymous_id, person_at, roll

DEFAULT_SEED = 2014

# Visitors of a cohort to 1,000 lines of a revision. Measured: they and those of earlier cohorts fill about half
# of it, regulars fill the rest, so that hardly ever a visitor has no room.
VISITORS = 50


def sample_revision(number: int, *, lines: int, seed: int = DEFAULT_SEED) -> bytes:
    """Make the content of one revision.

    The same arguments give the same bytes, in every process and version of Python, and no other revision is
    needed. Revisions belong together if they have the same ``lines`` and ``seed``: journeys go on from one
    to the other.

    Args:
        number: the revision, from 1.
        lines: how many lines it has, blank ones included.
        seed: another seed, other people.

    Returns:
        The file, which ends with a line feed (or is empty, if it has no lines).
    """
    odd = tuple(places_of(number, lines))
    # One at least, since odd lines are made of an ordinary one.
    ordinary = _ordinary_lines(seed, number, lines, max(1, lines - len(odd)))
    mixed: list[str] = []
    taken = 0
    for place, make in odd:
        before, taken = taken, taken + place - len(mixed)
        mixed += ordinary[before:taken]
        mixed.append(make(_material(seed, number, lines, place, ordinary[max(0, taken - 1)])))
    mixed += ordinary[taken : taken + lines - len(mixed)]
    return "".join([line + "\n" for line in mixed]).encode()


def _ordinary_lines(seed: int, number: int, lines: int, room: int) -> list[str]:
    entries = _fit(_visitors(seed, number, lines), room)
    entries += _regulars(seed, number, lines, room - len(entries))
    # By the tick of receipt only. The sort keeps what is equal in place, so a person's lines stand together.
    entries.sort(key=itemgetter(0))
    return [line for _, line in entries]


def _visitors(seed: int, number: int, lines: int) -> Entries:
    entries: Entries = []
    start = start_of(number)
    for offset, stage in STAGES:
        for index in range(_cohort_size(number - offset, lines)):
            stage(entries, person_at(seed, number - offset, index), start)
    return entries


def _cohort_size(cohort: int, lines: int) -> int:
    """How many visitors come new in a revision; right in the long run even where it is less than one."""
    if cohort < 1:
        return 0
    return cohort * lines * VISITORS // 1000 - (cohort - 1) * lines * VISITORS // 1000


def _fit(entries: Entries, room: int) -> Entries:
    """Leave out page views, and only if that is not enough other lines, until there is room for all."""
    surplus = len(entries) - room
    if surplus <= 0:
        return entries
    spare = [at for at, (_, line) in enumerate(entries) if '"_n":"page view"' in line]
    dropped = set(spare[-surplus:])
    return [entry for at, entry in enumerate(entries) if at not in dropped][:room]


def _regulars(seed: int, number: int, lines: int, count: int) -> Entries:
    """Exactly ``count`` lines of anonymous readers who come again and again."""
    entries: Entries = []
    visit = 0
    while len(entries) < count:
        dice = roll(seed, "visit", number, visit)
        start = start_of(number) + int.from_bytes(dice[62:]) % (SPAN - 400)
        session = Session(entries, _regular(seed, lines, int.from_bytes(dice[58:62])), start, dice)
        look_around(session, dice, 1 + dice[57] % 7, '"returning":"1"')
        visit += 1
    return entries[:count]


def _regular(seed: int, lines: int, choice: int) -> str:
    """One of the regulars: so many that each comes every few revisions."""
    return anonymous_id(roll(seed, "regular", choice % (30 + lines // 4)))


def _material(seed: int, number: int, lines: int, place: int, before: str) -> Material:
    t = start_of(number) + place * SPAN // lines
    return Material(_regular(seed, lines, roll(seed, "odd", number, place)[0]), t, before)


def revision_numbers(first: int, revisions: int) -> Iterator[int]:
    """The numbers that a bucket holds: of ten or more, the seventh is missing, as can be in real buckets."""
    for number in range(first, first + revisions):
        if revisions < 10 or number != first + 6:
            yield number

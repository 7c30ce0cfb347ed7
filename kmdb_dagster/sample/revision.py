"""Generate one revision of a sample: choose its people, sort its lines by receipt, insert odd lines.

``journey`` writes the lines of people, ``oddities`` the odd lines.
"""

from collections.abc import Iterator
from operator import itemgetter

from kmdb_dagster.sample.clock import SPAN, start_of
from kmdb_dagster.sample.journey import STAGES, look_around
from kmdb_dagster.sample.lines import Entries, Session
from kmdb_dagster.sample.oddities import Material, places_of
from kmdb_dagster.sample.people import anonymous_id, person_at, roll

DEFAULT_SEED = 2014

# New visitors per 1,000 lines of a revision. Measured: visitors of all cohorts fill about half of the lines, regulars
# the rest, so the lines of a visitor almost always fit.
VISITORS = 50


def sample_revision(number: int, *, lines: int, seed: int = DEFAULT_SEED) -> bytes:
    """Generate the content of one revision.

    The function is deterministic, also across processes and versions of Python. Revisions with the same ``lines`` and
    ``seed`` belong to one export: journeys continue from one to the next.

    Args:
        number: The revision, from 1.
        lines: The number of lines, including blank ones.
        seed: The seed of the random data.

    Returns:
        The bytes of the file. It ends with a newline, or is empty if it has no lines.
    """
    odd = tuple(places_of(number, lines))
    # At least one, because odd lines are made from an ordinary one.
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
    # By receipt only. The sort is stable, so the lines of a person stay together.
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
    """Return the number of new visitors in a revision. The long-run average is exact, even below one."""
    if cohort < 1:
        return 0
    return cohort * lines * VISITORS // 1000 - (cohort - 1) * lines * VISITORS // 1000


def _fit(entries: Entries, room: int) -> Entries:
    """Drop page views until the lines fit, then other lines from the end."""
    surplus = len(entries) - room
    if surplus <= 0:
        return entries
    spare = [at for at, (_, line) in enumerate(entries) if '"_n":"page view"' in line]
    dropped = set(spare[-surplus:])
    return [entry for at, entry in enumerate(entries) if at not in dropped][:room]


def _regulars(seed: int, number: int, lines: int, count: int) -> Entries:
    """Return exactly ``count`` lines of regulars: anonymous readers who return often."""
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
    """Return the identity of a regular. Their number is such that each returns every few revisions."""
    return anonymous_id(roll(seed, "regular", choice % (30 + lines // 4)))


def _material(seed: int, number: int, lines: int, place: int, before: str) -> Material:
    t = start_of(number) + place * SPAN // lines
    return Material(_regular(seed, lines, roll(seed, "odd", number, place)[0]), t, before)


def revision_numbers(first: int, revisions: int) -> Iterator[int]:
    """Yield the numbers of a bucket. If there are ten or more, the seventh is missing, as happens in real buckets."""
    for number in range(first, first + revisions):
        if revisions < 10 or number != first + 6:
            yield number

"""The same answers as those of the questions, computed the long way: loops over the events of one person at a time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple


class Fact(NamedTuple):
    """An event; the order of its fields but the first is the order in which a person's events were."""

    person: int
    t: int
    id: int
    name: int


def by_person(facts: Iterable[Fact]) -> dict[int, list[Fact]]:
    """Return the events of each person, in order."""
    return {person: list(group) for person, group in groupby(sorted(facts), attrgetter("person"))}


def gets_to(events: Sequence[Fact], steps: Sequence[int], within: int, end: int) -> int:
    """How many steps a person gets through: every chain is tried."""

    def longest(place: int, step: int, began: int) -> int:
        best = step
        for at in range(place, len(events)):
            if step < len(steps) and events[at].name == steps[step] and events[at].t - began <= within:
                best = max(best, longest(at + 1, step + 1, began))
        return best

    starts = [at for at, one in enumerate(events) if one.name == steps[0] and one.t < end]
    return max((longest(at + 1, 1, events[at].t) for at in starts), default=0)


def funnel(facts: Iterable[Fact], steps: Sequence[int], within: int, end: int) -> list[int]:
    """How many people get to each step."""
    reached = [gets_to(events, steps, within, end) for events in by_person(facts).values()]
    return [sum(step <= one for one in reached) for step in range(1, len(steps) + 1)]


def start_of(events: Sequence[Fact], start: int, end: int) -> int | None:
    """Where a person's first event of a name is, if it is before the end."""
    places = [at for at, one in enumerate(events) if one.name == start]
    return places[0] if places and events[places[0]].t < end else None


def delays(facts: Iterable[Fact], start: int, goal: int, within: int, end: int) -> dict[int, int | None]:
    """Return the seconds from each person's first start to the first goal after it."""
    found: dict[int, int | None] = {}
    for person, events in by_person(facts).items():
        at = start_of(events, start, end)
        if at is not None:
            took = [one.t - events[at].t for one in events[at + 1 :] if one.name == goal]
            found[person] = took[0] if took and took[0] <= within else None
    return found


def repeats(facts: Iterable[Fact], start: int, repeated: int, within: int, end: int) -> dict[int, int]:
    """How many events of a name each person does in time after the first start."""
    found: dict[int, int] = {}
    for person, events in by_person(facts).items():
        at = start_of(events, start, end)
        if at is not None:
            later = [one for one in events[at + 1 :] if one.name == repeated and one.t - events[at].t <= within]
            found[person] = len(later)
    return found


def histogram(times: Iterable[int], lowest: int, highest: int) -> list[tuple[str, int]]:
    """Return how many did it so often, without gaps; the last one has a plus sign if it is the highest."""
    counts = Counter(min(one, highest) for one in times)
    rows = range(lowest, max(counts, default=lowest - 1) + 1)
    return [(f"{row}+" if row == highest else str(row), counts[row]) for row in rows]


def active_pieces(facts: Iterable[Fact], names: Sequence[int], each: int, end: int) -> dict[int, set[int]]:
    """Return the pieces of the time since 0 in which each person does any of these events."""
    found: dict[int, set[int]] = {}
    for fact in facts:
        if fact.name in names and fact.t < end:
            found.setdefault(fact.person, set()).add(fact.t // each)
    return found


def cohorts(
    facts: Iterable[Fact], start: int, back: int | None, every: int, end: int
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the size and the returns of each cohort and period that is over."""
    sizes: Counter[int] = Counter()
    returned: Counter[tuple[int, int]] = Counter()
    for events in by_person(facts).values():
        at = start_of(events, start, end)
        if at is None:
            continue
        born = events[at].t
        cohort = born // every
        sizes[cohort] += 1
        later = [one for one in events[at + 1 :] if back is None or one.name == back]
        returned.update({(cohort, (one.t - born) // every) for one in later})
    return {
        (cohort, period): (size, returned[cohort, period])
        for cohort, size in sizes.items()
        for period in range(end // every)
        if (cohort + 1) * every + (period + 1) * every <= end
    }


def path_of(events: Sequence[Fact], start: int, goal: int | None, within: int, end: int) -> list[int] | None:
    """A person's whole path, repetitions as one."""
    at = start_of(events, start, end)
    if at is None:
        return None
    path = [start]
    for one in events[at + 1 :]:
        if one.t - events[at].t > within:
            break
        if one.name != path[-1]:
            path.append(one.name)
        if one.name == goal:
            break
    return path if goal is None or path[-1] == goal else None

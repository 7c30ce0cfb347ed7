"""A round: an import that a fault disturbs and that is started again, compared with an undisturbed one."""

import random
import re
from typing import NamedTuple

from faults.compare import Content, Difference, content, difference
from faults.export import REVISIONS, version
from faults.fault import Fault
from faults.imports import Import, Outcome
from faults.site import Site
from kmdb_dagster.warehouse.ledger import ledger

MOST_MISSES = 10
"""In a row: a fault that never happens is a defect of this program."""


class Start(NamedTuple):
    """The result of an undisturbed import: its content, and the number of its moments."""

    content: Content
    moments: int


class Starts(NamedTuple):
    """The results of an import into empty tables, and of one over the first version of the export."""

    fresh: Start
    over: Start


class Round(NamedTuple):
    """The result of a round."""

    outcome: Outcome
    difference: Difference
    complaint: str
    """What was wrong beside the content."""
    remark: str = ""
    """What the fault did to the data."""

    @property
    def good(self) -> bool:
        """Whether the round had the expected result."""
        return not self.difference.tables and not self.complaint


def undisturbed(site: Site) -> Starts:
    """Import without a fault, from both starting points."""
    found = []
    for over in (False, True):
        _prepare(site, over=over)
        outcome = _import(site)
        assert outcome.success, outcome.words
        found.append(Start(content(site.warehouse.engine), outcome.moments))
    return Starts(*found)


def play(site: Site, starts: Starts, kind: type[Fault], chance: random.Random) -> Round:
    """Play a round. A fault that did not affect the run is tried again at another moment."""
    for _ in range(MOST_MISSES):
        over = chance.random() < 0.4
        _prepare(site, over=over)
        fault = kind(site, chance)
        start = starts.over if over else starts.fresh
        outcome = _disturbed(site, fault, chance.randint(1, start.moments))
        if not fault.happened(outcome):
            continue
        complaint = _complaint(site, fault, outcome)
        if fault.again or not outcome.success:
            complaint += _start_again(site, fault)
        found = difference(start.content, content(site.warehouse.engine))
        return Round(outcome, found, complaint, fault.remark())
    raise AssertionError(f"{kind.name}: {MOST_MISSES} misses in a row")


def _prepare(site: Site, *, over: bool) -> None:
    site.empty()
    if over:
        site.upload(version(1))
        outcome = _import(site)
        assert outcome.success, outcome.words
    site.upload(version(2))


def _import(site: Site) -> Outcome:
    return Import(site.settings(), REVISIONS).finish()


def _start_again(site: Site, fault: Fault) -> str:
    """Import once more, as a user does. Return what is wrong with it."""
    spans = [REVISIONS]
    if fault.resumes:
        # At least one run: it binds the database to its bucket and data folder, and that commit may be lost too.
        spans = [range(number, number + 1) for number in reversed(site.lacking() or REVISIONS[-1:])]
    outcomes = [Import(site.settings(), span).finish() for span in spans]
    return "".join(f" Started again, it failed: {outcome.words}" for outcome in outcomes if not outcome.success)


def _disturbed(site: Site, fault: Fault, moment: int) -> Outcome:
    fault.arm()
    settings = {**site.settings(), **fault.settings()}
    run = Import(settings, REVISIONS, at=moment if fault.in_a_moment else 0, limits=fault.limits)
    outcome = run.finish(fault.strike)
    fault.repair()
    return outcome


def _complaint(site: Site, fault: Fault, outcome: Outcome) -> str:
    """What is wrong with how the run ended: its words, or that a revision that failed is not listed."""
    if outcome.success or outcome.words == "(killed)":
        return fault.complaint(outcome)
    if not fault.says or fault.says not in outcome.words:
        return f"The run said: {outcome.words}"
    named = set(map(int, re.findall(r"\(revision (\d+), ", outcome.words)))
    listed = {number for number, _ in ledger.failures(site.warehouse.engine)}
    if not named or named != listed:
        return f"It named {sorted(named)}, and {sorted(listed)} are listed."
    return fault.complaint(outcome)

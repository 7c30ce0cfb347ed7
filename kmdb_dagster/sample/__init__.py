"""Invented exports that look like KissMetrics', of any size, for tests, demonstrations and benchmarks.

Pure: keys and bytes come out, nothing is written, and every revision can be made without any other. What is
*in* a sample is not counted here: reading it is the reader's work. Nothing in it comes from a real export.

The site is Moorings, an invented service that lets skippers book berths in harbours. Its revisions are numbered
from 1, which begins on 2014-01-01 00:00 UTC; each covers 32 minutes (45 a day). Every revision starts a cohort of
visitors, whose later visits fall in later revisions (`journey.STAGES`), at most 4,050 further on.

**The planted truth**, exact in expectation, each person independent of all others. A person is the anonymous
visitor together with the identities tied to it by aliases; a visitor is a person with a ``visited site`` event
without ``returning``.

* Channels of visitors: 37.5 % direct, 37.5 % with a ``search engine hit``, 25 % with an ``ad campaign hit``, half
  of them with ``campaign name`` = ``skippers newsletter`` and half with ``spring berths``.
* **An effect of the campaign**: 37.5 % of the visitors from ``skippers newsletter`` have ``signed up``, within
  the same revision or the next one. Of all other visitors 18.75 %. So the newsletter doubles it.
* ``plan name`` at ``signed up``: ``free`` or ``crew``, half each.
* ``activated``: 62.5 % of those who signed up, two revisions after their first visit.
* **An effect of the plan**: 25 % of the activated on ``free`` have ``upgraded``, and 50 % of those on ``crew``,
  three revisions after their first visit. Each of them was ``billed`` in the same minutes.
* ``cancelled``: 25 % of the upgraded, 90 revisions after the first visit. The others are ``billed`` again
  1,350, 2,700 and 4,050 revisions after it.
* **No effect**: ``headline test`` on ``saw headline`` is ``long`` or ``short``, half each, and changes nothing.

Lines that the funnel does not need are page views and searches of regulars: anonymous readers who never come with
``visited site``, so they thin out no rate above. A revision of fewer than about 100 lines may have no room for all
of its visitors' lines; then page views are left out first, and the rates hold less well. A bucket that starts at
``first`` > 1 has people in it who came before it, as real buckets have.

**The oddities** are the lines of `oddities.KINDS`, each kind at a fixed rate in the running count of lines (line
``i`` of revision ``n``, both from 1, is number ``(n - 1) * lines + i``). They never take the place of a line of
the funnel.
"""

from kmdb_dagster.sample.bucket import sample_bucket
from kmdb_dagster.sample.oddities import KINDS as ODDITIES
from kmdb_dagster.sample.revision import DEFAULT_SEED, sample_revision

__all__ = ["DEFAULT_SEED", "ODDITIES", "sample_bucket", "sample_revision"]

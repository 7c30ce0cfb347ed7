"""Generate sample exports of any size, in KissMetrics' format, for tests, demonstrations and benchmarks.

Pure functions that return keys and bytes. Each revision is generated without the others. All data is invented.

The site is Moorings, an invented service that lets skippers book berths in harbours. Its revisions are numbered
from 1, which begins on 2014-01-01 00:00 UTC; each covers 32 minutes (45 a day). Every revision starts a cohort of
visitors. Their later visits are in later revisions (`journey.STAGES`), up to 4,050 revisions later.

**The planted truth**: expected values, with independent people. A person is an anonymous visitor together with the
identities that aliases link to it. A visitor is a person with a ``visited site`` event
without ``returning``.

* Channels of visitors: 37.5 % direct, 37.5 % with a ``search engine hit``, 25 % with an ``ad campaign hit``.
  Its ``campaign name`` is ``skippers newsletter`` or ``spring berths``, half each.
* **An effect of the campaign**: 37.5 % of the visitors from ``skippers newsletter`` have ``signed up``, within
  the same revision or the next one; 18.75 % of all other visitors have. So the newsletter doubles the rate.
* ``plan name`` at ``signed up``: ``free`` or ``crew``, half each.
* ``activated``: 62.5 % of those who signed up, two revisions after their first visit.
* **An effect of the plan**: 25 % of the activated on ``free`` have ``upgraded``, and 50 % of those on ``crew``,
  three revisions after their first visit. Each is ``billed`` within the same minutes.
* ``cancelled``: 25 % of the upgraded, 90 revisions after the first visit. The others are ``billed`` again
  1,350, 2,700 and 4,050 revisions after it.
* **No effect**: ``headline test`` on ``saw headline`` is ``long`` or ``short``, half each, without any effect.

The other lines are page views and searches of regulars: anonymous readers without a ``visited site`` event, so they
do not change the rates. A revision of fewer than about 100 lines may be too small for the lines of its visitors. It
then omits page views first, and the rates are less exact. A bucket that starts at ``first`` > 1 contains people whose
first visit was before it, as real buckets do.

**The oddities** are the lines of `oddities.KINDS`, each kind at a fixed rate of the running line number (line ``i``
of revision ``n``, both from 1, is number ``(n - 1) * lines + i``). They never replace a line of the funnel.
"""

from kmdb_dagster.sample.bucket import sample_bucket
from kmdb_dagster.sample.oddities import KINDS as ODDITIES
from kmdb_dagster.sample.revision import DEFAULT_SEED, sample_revision

__all__ = ["DEFAULT_SEED", "ODDITIES", "sample_bucket", "sample_revision"]

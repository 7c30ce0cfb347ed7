"""The planted truth of the sample, which an analysis has to find. See the package's docstring."""

from functools import cache
from typing import Any, TypeAlias

import pytest

from kmdb_dagster.km_export.layout import parse_revision
from kmdb_dagster.sample import sample_bucket
from kmdb_dagster.sample.clock import start_of

from .test_sample import records

Group: TypeAlias = dict[str, list[dict[str, Any]]]
"""People by the identity that stands for them, with their lines."""


class Roots(dict[str, str]):
    """Which identities are one person."""

    def of(self, identity: str) -> str:
        """The identity that stands for the person."""
        while (parent := self.get(identity, identity)) != identity:
            identity = parent
        return identity

    def resolve(self, one: str, other: str) -> None:
        """Two identities are one person."""
        self[self.of(one)] = self.of(other)


@cache
def people() -> Group:
    """Events of each person who came as a visitor, in a bucket that starts with the first of them."""
    files = sample_bucket(200, 800, seed=5)
    found = [record for key, content in files if parse_revision(key) for record in records(content)]
    roots = Roots()
    for record in found:
        if "_p2" in record:
            roots.resolve(record["_p"], record["_p2"])
    events: Group = {}
    for record in found:
        events.setdefault(roots.of(record["_p"]), []).append(record)
    return {root: done for root, done in events.items() if any(map(is_landing, done))}


def is_landing(record: dict[str, Any]) -> bool:
    # Of visitors in the last three revisions, 198 to 200, some sign up or upgrade after the end of the bucket.
    return record.get("_n") == "visited site" and "returning" not in record and record["_t"] < start_of(198)


def those(name: str, key: str | None = None, value: str = "") -> Group:
    """The people who have an event, with a property."""
    return {
        root: done
        for root, done in people().items()
        if any(one.get("_n") == name and (key is None or one.get(key) == value) for one in done)
    }


def check(group: Group, name: str, planted: float) -> None:
    share = len(group.keys() & those(name)) / len(group)
    four_errors = 4 * (planted * (1 - planted) / len(group)) ** 0.5
    # Of 200 revisions one is missing: up to half a per cent of any stage is lost.
    assert share == pytest.approx(planted, abs=four_errors + 0.005)


def test_the_sample_has_its_planted_channels() -> None:
    check(people(), "search engine hit", 0.375)
    check(people(), "ad campaign hit", 0.25)


def test_the_sample_has_its_planted_effect_of_the_campaign() -> None:
    newsletter = those("ad campaign hit", "campaign name", "skippers newsletter")
    others = {root: done for root, done in people().items() if root not in newsletter}
    check(newsletter, "signed up", 0.375)
    check(others, "signed up", 0.1875)
    check(those("ad campaign hit", "campaign name", "spring berths"), "signed up", 0.1875)


def test_the_sample_has_its_planted_activation() -> None:
    check(those("signed up"), "activated", 0.625)


def test_the_sample_has_its_planted_effect_of_the_plan() -> None:
    check(those("activated", "plan name", "free"), "upgraded", 0.25)
    check(those("activated", "plan name", "crew"), "upgraded", 0.5)
    check(those("upgraded"), "billed", 1.0)


def test_the_sample_has_its_planted_cancellation() -> None:
    upgraded = those("upgraded")
    early = {root: done for root, done in upgraded.items() if done[0]["_t"] < start_of(105)}
    check(early, "cancelled", 0.25)


def test_the_headline_of_the_sample_has_no_effect() -> None:
    for headline in ("long", "short"):
        shown = those("saw headline", "headline test", headline)
        assert len(shown) / len(people()) == pytest.approx(0.5, abs=0.03)
        check(shown, "signed up", 0.2109375)

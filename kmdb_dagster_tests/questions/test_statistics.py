"""Comparisons and regressions find planted effects, and report what they cannot estimate."""

import numpy as np
import polars as pl
import pytest

from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.conversions import Conversion, find_conversions
from kmdb_dagster.questions.drivers import count_patterns, delete_late_values
from kmdb_dagster.questions.experiment import compare, count_conversions, count_switched
from kmdb_dagster.questions.logistic import Fit, fit
from kmdb_dagster_tests.questions.by_hand import Fact
from kmdb_dagster_tests.questions.tables import put, tables


def counted(*rows: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, ["variant", "people", "converted"], orient="row")


def cell(frame: pl.DataFrame, prop: str, value: str) -> dict[str, float]:
    return frame.row(by_predicate=(pl.col("property") == prop) & (pl.col("value") == value), named=True)


def test_a_conversion_counts_after_the_variant_and_within_the_time() -> None:
    labels = [(person, 100, person, "long" if person < 4 else "short") for person in range(1, 7)]
    goals = [Fact(1, 101, 11, 9), Fact(2, 99, 12, 9), Fact(3, 111, 13, 9), Fact(4, 110, 14, 9), Fact(9, 105, 15, 9)]
    found = count_conversions(tables(goals, labels), 9, 10)
    assert found.rows() == [("long", 3, 1), ("short", 3, 1)]


def test_people_with_two_variants_are_reported() -> None:
    assert count_switched(tables([], [(1, 0, 1, "a"), (1, 1, 2, "b"), (2, 0, 3, "a"), (2, 1, 4, "a")])) == 1


def test_intervals_are_wilsons_and_differences_newcombes() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II: 56/70 against 48/80, method 10.
    frame = compare(counted(("control", 80, 48), ("new", 70, 56)))
    new = frame.row(1, named=True)
    assert new["gain"] == pytest.approx(0.2)
    assert (new["gain_low"], new["gain_high"]) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    # Wilson's interval by its formula, with z = 1.96.
    p, n, z = 0.6, 80, 1.959964
    middle, reach = (p + z * z / 2 / n), z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
    low, high = ((middle + sign * reach) / (1 + z * z / n) for sign in (-1, 1))
    assert frame.row(0, named=True)["low"] == pytest.approx(low, abs=1e-5)
    assert frame.row(0, named=True)["high"] == pytest.approx(high, abs=1e-5)


def test_a_planted_effect_is_found_and_no_other() -> None:
    rng = np.random.default_rng(8)
    a, b, c = (int(rng.binomial(5000, rate)) for rate in (0.2, 0.25, 0.2))
    frame = compare(counted(("a", 5000, a), ("b", 5000, b), ("c", 5000, c)))
    effect, none = frame.row(1, named=True), frame.row(2, named=True)
    assert effect["p"] < 0.001
    assert effect["gain_low"] < 0.05 < effect["gain_high"]
    assert none["p"] > 0.05
    assert none["gain_low"] < 0 < none["gain_high"]


def test_the_control_can_be_chosen_and_must_exist() -> None:
    counts = counted(("a", 100, 10), ("b", 50, 10))
    assert compare(counts, "b")["variant"].to_list() == ["b", "a"]
    with pytest.raises(PermanentError, match="No person has the control value"):
        compare(counts, "c")


def test_variants_without_conversions_do_not_differ() -> None:
    assert compare(counted(("a", 100, 0), ("b", 50, 0)))["p"].to_list() == [None, 1.0]


@pytest.mark.parametrize("variants", [1, 11])
def test_one_variant_or_very_many_variants_are_not_compared(variants: int) -> None:
    with pytest.raises(PermanentError, match="nothing to compare"):
        compare(counted(*((str(at), 10, 5) for at in range(variants))))


def test_patterns_count_people_without_values_that_come_with_the_goal() -> None:
    duck = tables([Fact(1, 0, 1, 1), Fact(1, 10, 5, 2), Fact(2, 0, 2, 1), Fact(3, 0, 3, 1)])
    find_conversions(duck, Conversion(1, 2, 100, 50))
    held = {"person": [1, 2, 3], "t": [10, 5, 200], "id": [6, 7, 8], "label": ["pro", "free", "late"]}
    put("labels0", pl.DataFrame(held))
    put("labels1", pl.DataFrame({**held, "t": [1, 1, 1]}))
    for table in ("labels0", "labels1"):
        delete_late_values(duck, table, 100)
    assert sorted(count_patterns(duck, ["plan", "source"]).rows()) == [
        ("(none)", "late", 1, 0),
        ("(none)", "pro", 1, 1),
        ("free", "free", 1, 0),
    ]


def planted(effects: dict[str, dict[str, float]], people: int, seed: int = 4) -> pl.DataFrame:
    """People with values at random, whose log-odds to convert are -1 and the effects of their values."""
    rng = np.random.default_rng(seed)
    values = {name: rng.choice(list(of), people) for name, of in effects.items()}
    log_odds = -1.0 + sum(np.vectorize(effects[name].get)(chosen) for name, chosen in values.items())
    converted = rng.random(people) < 1 / (1 + np.exp(-log_odds))
    frame = pl.DataFrame({**{name: list(map(str, chosen)) for name, chosen in values.items()}, "converted": converted})
    return frame.group_by(list(effects)).agg(
        pl.len().cast(pl.Int64).alias("people"), pl.col("converted").cast(pl.Int64).sum()
    )


def test_planted_effects_are_estimated_independently() -> None:
    effects = {
        "source": {"mail": 0.8, "web": 0.0},
        "plan": {"crew": -0.5, "free": 0.0},
        "colour": {"blue": 0.0, "red": 0.0},
    }
    frame = fit(planted(effects, 20_000), list(effects)).frame
    assert frame["p"].count() == len(effects)
    for name, values in effects.items():
        for value, effect in values.items():
            row = cell(frame, name, value)
            others = sum(at for other, at in values.items() if other != value)
            if row["p"] is not None:
                assert row["odds_low"] < np.exp(effect - others) < row["odds_high"]
                assert (row["p"] < 0.001) == (effect != others)


def test_the_odds_of_one_property_are_those_of_its_table() -> None:
    counts = pl.DataFrame({"plan": ["a", "b"], "people": [100, 80], "converted": [20, 40]})
    row = cell(fit(counts, ["plan"]).frame, "plan", "b")
    assert row["odds"] == pytest.approx((40 / 40) / (20 / 80))
    # Woolf's interval: the standard error of the log odds is the root of the sum of reciprocals.
    spread = 1.959964 * (1 / 40 + 1 / 40 + 1 / 20 + 1 / 80) ** 0.5
    assert row["odds_low"] == pytest.approx(4 * np.exp(-spread), rel=1e-4)


def test_collinear_values_are_dropped_and_counted() -> None:
    twice = planted({"source": {"mail": 0.8, "web": 0.0}}, 1000)
    fitted = fit(twice.with_columns(copy=pl.col("source")), ["source", "copy"])
    assert (fitted.tests, fitted.dropped) == (1, 1)
    assert [odds for odds in fitted.frame["odds"].to_list() if odds is None] == [None]


def test_a_value_without_conversions_has_no_odds_ratio() -> None:
    counts = pl.DataFrame({"plan": ["a", "b", "none"], "people": [100, 80, 30], "converted": [20, 40, 0]})
    fitted = fit(counts, ["plan"])
    assert fitted.separated == 1
    assert cell(fitted.frame, "plan", "none")["odds"] is None
    assert cell(fitted.frame, "plan", "b")["odds"] == pytest.approx(4)


def test_nothing_is_compared_if_all_people_convert() -> None:
    with pytest.raises(PermanentError, match="All people convert, or none"):
        fit(pl.DataFrame({"plan": ["a", "b"], "people": [10, 10], "converted": [10, 10]}), ["plan"])


def test_few_conversions_are_reported() -> None:
    fitted: Fit = fit(pl.DataFrame({"plan": ["a", "b"], "people": [10, 10], "converted": [3, 4]}), ["plan"])
    assert fitted.fewest == 7

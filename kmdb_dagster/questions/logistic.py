"""Logistic regression on counted combinations of values, with statsmodels: odds ratios, intervals, p-values.

Knows nothing of events. Values that cannot be estimated (complete separation, collinearity) get no odds.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kmdb_dagster.errors import PermanentError

if TYPE_CHECKING:
    import polars as pl

CONFIDENCE = 0.95
MAX_STANDARD_ERROR = 10.0
"""Of log odds. A larger error means that values of several properties together separate completely."""
MIN_INDEPENDENT_PART = 1e-9
"""Part of a column's norm that must remain after projection on the columns before it is removed."""


class Fit(NamedTuple):
    """A fitted regression."""

    frame: "pl.DataFrame"
    """``property, value, people, converted, rate, odds, odds_low, odds_high, p``.

    Odds are ratios to the most frequent value of the property, which has 1. They are NULL if they cannot be estimated.
    """
    tests: int
    """Number of estimated values."""
    fewest: int
    """People who convert, or people who do not, whichever are fewer."""
    separated: int
    """Number of values with which all people convert, or none."""
    dropped: int
    """Number of values that are collinear with others."""


def fit(counts: "pl.DataFrame", properties: Sequence[str]) -> Fit:
    """Fit a logistic regression with all properties at once.

    Args:
        counts: A row for each combination of values: a text column for each property, ``people``, ``converted``.
        properties: The names of the text columns.

    Raises:
        PermanentError: All people convert, or none.
    """
    import polars as pl

    totals = _totals(counts, properties)
    separated = totals.filter((pl.col("converted") == 0) | (pl.col("converted") == pl.col("people")))
    kept = counts
    for name, value in separated.select("property", "value").iter_rows():
        kept = kept.filter(pl.col(name) != value)
    fewest = min(sum(kept["converted"]), sum(kept["people"]) - sum(kept["converted"]))
    if fewest == 0:
        raise PermanentError(
            "All people convert, or none: there is nothing to compare. Ask about another span or goal."
        )
    columns = _columns(_totals(kept, properties), properties)
    design = np.column_stack([np.ones(len(kept)), *((kept[name] == value).to_numpy() for name, value in columns)])
    kept_columns = independent_columns(design * np.sqrt(kept["people"].to_numpy())[:, None])
    estimated = [columns[at - 1] for at in kept_columns if at]
    odds = _odds(design[:, kept_columns], kept, estimated)
    base = totals.join(_base(kept, properties), on=["property", "value"], how="semi").select("property", "value")
    frame = (
        totals.join(pl.concat([odds, base.with_columns(odds=1.0)], how="diagonal"), ["property", "value"], "left")
        .with_columns(rate=pl.col("converted") / pl.col("people"))
        .select("property", "value", "people", "converted", "rate", "odds", "odds_low", "odds_high", "p")
    )
    return Fit(frame, len(estimated), fewest, len(separated), len(columns) - len(estimated))


def independent_columns(design: NDArray[np.float64]) -> list[int]:
    """Return the indexes of columns that are not linear combinations of columns before them.

    Args:
        design: Shape (rows, columns), float64.
    """
    found: list[int] = []
    basis = np.empty((len(design), 0))
    for at, column in enumerate(design.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # a second time, against rounding errors
        if float(np.linalg.norm(rest)) > MIN_INDEPENDENT_PART * max(float(np.linalg.norm(column)), 1.0):
            found.append(at)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return found


def _totals(counts: "pl.DataFrame", properties: Sequence[str]) -> "pl.DataFrame":
    """Count people and conversions of each value of each property, the largest value first."""
    import polars as pl

    parts = [
        counts.group_by(pl.col(name).alias("value"))
        .agg(pl.col("people", "converted").sum())
        .sort("people", "value", descending=[True, False])
        .select(pl.lit(name).alias("property"), "value", "people", "converted")
        for name in properties
    ]
    return pl.concat(parts)


def _columns(totals: "pl.DataFrame", properties: Sequence[str]) -> list[tuple[str, str]]:
    """Return the values that get a column: all but the most frequent of each property."""
    return [
        (name, value)
        for name in properties
        for value in totals.filter(totals["property"] == name)["value"].to_list()[1:]
    ]


def _base(kept: "pl.DataFrame", properties: Sequence[str]) -> "pl.DataFrame":
    """Return the most frequent value of each property."""
    return _totals(kept, properties).group_by("property", maintain_order=True).first()


def _odds(design: NDArray[np.float64], counts: "pl.DataFrame", columns: Sequence[tuple[str, str]]) -> "pl.DataFrame":
    import polars as pl
    import statsmodels.api as sm
    from statsmodels.stats.multitest import multipletests

    converted = counts["converted"].to_numpy()
    outcomes = np.column_stack([converted, counts["people"].to_numpy() - converted])
    with warnings.catch_warnings():
        # A perfect fit makes statsmodels warn of separation. `MAX_STANDARD_ERROR` handles it below.
        warnings.simplefilter("ignore")
        model = sm.GLM(outcomes, design, family=sm.families.Binomial()).fit()
    known = [error < MAX_STANDARD_ERROR for error in model.bse[1:]]
    intervals = np.exp(model.conf_int(1 - CONFIDENCE))[1:]
    adjusted = multipletests(model.pvalues[1:], method="holm")[1] if len(columns) else []
    numbers = np.column_stack([np.exp(model.params[1:]), intervals, adjusted]) if len(columns) else np.empty((0, 4))
    rows = [(*column, *row) for column, row, sure in zip(columns, numbers.tolist(), known, strict=True) if sure]
    names = ("property", "value", "odds", "odds_low", "odds_high", "p")
    return pl.DataFrame(
        rows, {name: pl.String if at < 2 else pl.Float64 for at, name in enumerate(names)}, orient="row"
    )

"""Logistic regression on counted patterns: which values are compared with which, and what cannot be estimated.

The regression is statsmodels'. Nothing is known here of events or of where the patterns come from.
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
LARGEST_ERROR = 10.0
"""Of log odds. With a larger one the values of several properties together have all or none convert."""
NO_MORE = 1e-9
"""Of a column's length, what must be left of it when the columns before it are taken out."""


class Fitted(NamedTuple):
    """What came of it."""

    frame: "pl.DataFrame"
    """``property, value, people, converted, rate, odds, odds_low, odds_high, p``. Odds are 1 for what the others of the
    property are compared with; NULL where they cannot be estimated."""
    tests: int
    """Values that are estimated."""
    fewest: int
    """Of those who convert and those who do not, the fewer."""
    separated: int
    """Values with which all or none convert."""
    dropped: int
    """Values that are known when the others are."""


def fit(counts: "pl.DataFrame", properties: Sequence[str]) -> Fitted:
    """Fit a logistic regression with all properties at once.

    Args:
        counts: a column of text for each property, ``people``, ``converted``: a row for each pattern of values.
        properties: the columns.

    Raises:
        PermanentError: everybody converts, or nobody.
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
            "Everybody converts, or nobody: there is nothing to compare. Ask about another span or goal."
        )
    columns = _columns(_totals(kept, properties), properties)
    design = np.column_stack([np.ones(len(kept)), *((kept[name] == value).to_numpy() for name, value in columns)])
    free = independent(design * np.sqrt(kept["people"].to_numpy())[:, None])
    estimated = [columns[at - 1] for at in free if at]
    odds = _odds(design[:, free], kept, estimated)
    base = totals.join(_base(kept, properties), on=["property", "value"], how="semi").select("property", "value")
    frame = (
        totals.join(pl.concat([odds, base.with_columns(odds=1.0)], how="diagonal"), ["property", "value"], "left")
        .with_columns(rate=pl.col("converted") / pl.col("people"))
        .select("property", "value", "people", "converted", "rate", "odds", "odds_low", "odds_high", "p")
    )
    return Fitted(frame, len(estimated), fewest, len(separated), len(columns) - len(estimated))


def independent(design: NDArray[np.float64]) -> list[int]:
    """Which columns are no sum of columns before them."""
    found: list[int] = []
    basis = np.empty((len(design), 0))
    for at, column in enumerate(design.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # once more, for what rounding left
        if float(np.linalg.norm(rest)) > NO_MORE * max(float(np.linalg.norm(column)), 1.0):
            found.append(at)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return found


def _totals(counts: "pl.DataFrame", properties: Sequence[str]) -> "pl.DataFrame":
    """People of each value of each property, the largest first."""
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
    """The values that get a column: all but the most frequent of each property."""
    return [
        (name, value)
        for name in properties
        for value in totals.filter(totals["property"] == name)["value"].to_list()[1:]
    ]


def _base(kept: "pl.DataFrame", properties: Sequence[str]) -> "pl.DataFrame":
    """The most frequent value of each property."""
    return _totals(kept, properties).group_by("property", maintain_order=True).first()


def _odds(design: NDArray[np.float64], counts: "pl.DataFrame", columns: Sequence[tuple[str, str]]) -> "pl.DataFrame":
    import polars as pl
    import statsmodels.api as sm
    from statsmodels.stats.multitest import multipletests

    converted = counts["converted"].to_numpy()
    outcomes = np.column_stack([converted, counts["people"].to_numpy() - converted])
    with warnings.catch_warnings():
        # As many values as patterns fit perfectly, which statsmodels takes for separation. That is looked at below.
        warnings.simplefilter("ignore")
        model = sm.GLM(outcomes, design, family=sm.families.Binomial()).fit()
    known = [error < LARGEST_ERROR for error in model.bse[1:]]
    intervals = np.exp(model.conf_int(1 - CONFIDENCE))[1:]
    adjusted = multipletests(model.pvalues[1:], method="holm")[1] if len(columns) else []
    numbers = np.column_stack([np.exp(model.params[1:]), intervals, adjusted]) if len(columns) else np.empty((0, 4))
    rows = [(*column, *row) for column, row, sure in zip(columns, numbers.tolist(), known, strict=True) if sure]
    names = ("property", "value", "odds", "odds_low", "odds_high", "p")
    return pl.DataFrame(
        rows, {name: pl.String if at < 2 else pl.Float64 for at, name in enumerate(names)}, orient="row"
    )

"""A/B comparison: whether people with one value of a property convert more often than those with another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from kmdb_dagster.charts import answers
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.answer import Answer, in_p, unripe
from kmdb_dagster.questions.duck import AFTER, frame_of
from kmdb_dagster.questions.slices import opened, span_of
from kmdb_dagster.questions.span import RECENTLY, When, in_words, shifted

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

CONFIDENCE = 0.95
FEW = 10
"""Below so many who convert, or who do not, in a variant, its interval says little."""
UNEVEN = 0.001
"""The p-value of even groups below which something sorted people into them."""
MOST_VARIANTS = 10


@dataclass(frozen=True)
class Experiment:
    """People by their first value of ``variant`` in the span; who does ``goal`` within ``within`` seconds of that."""

    variant: str
    goal: str
    within: int
    control: str | None = None
    """The value that the others are compared with; if it is not named, the one that most people have."""
    when: When = RECENTLY

    def ask(self, engine: Engine) -> Answer:
        """Ask the database."""
        span = span_of(engine, self.when)
        with opened(engine) as found:
            (goal,) = found.keys([self.goal])
            found.take_labels(self.variant, span.since, span.until)
            found.take_events([goal], span.since, shifted(span.until, self.within))
            counts = outcomes(found.duck, goal, self.within)
            strays = changed_sides(found.duck)
        frame = compare(counts, self.control)
        return Answer(
            question=f"Does “{self.variant}” change how many do “{self.goal}” within {in_words(self.within)}?",
            finding=_finding(frame),
            number=frame["gain"][1],
            span=span,
            frame=frame,
            sql=tuple(found.statements),
            caveats=(*_caveats(frame, strays), *unripe(span, self.within)),
            draw=lambda figure: answers.experiment(figure, frame),
        )


def outcomes(duck: "DuckDBPyConnection", goal: int, within: int) -> "pl.DataFrame":
    """Of each variant, how many people there are and how many convert after they have got it.

    Args:
        duck: with the tables ``facts`` and ``labels``.
        goal: the name of the event that counts.
        within: seconds.

    Returns:
        ``variant``, ``people``, ``converted``; the largest first.
    """
    # Step by step, as in `duck.go`.
    duck.execute(
        f"""
        CREATE TABLE converts AS
        SELECT DISTINCT person FROM facts f JOIN labels s USING (person)
        WHERE f.name = {goal} AND {AFTER} AND f.t <= s.t + {within}
        """
    )
    return frame_of(
        duck,
        f"""
        SELECT label AS variant, count(*) AS people, count(converts.person) AS converted
        FROM labels LEFT JOIN converts USING (person)
        GROUP BY label ORDER BY people DESC, variant LIMIT {MOST_VARIANTS + 1}
        """,
    )


def changed_sides(duck: "DuckDBPyConnection") -> int:
    """How many people have had more than one value."""
    several = "SELECT person FROM all_labels GROUP BY person HAVING min(label) <> max(label)"
    ((count,),) = duck.sql(f"SELECT count(*) FROM ({several})").fetchall()
    return int(count)


def compare(counts: "pl.DataFrame", control: str | None = None) -> "pl.DataFrame":
    """Rates and differences, with intervals of `CONFIDENCE`.

    Wilson's interval for a rate; for the difference to the control Newcombe's, which is made of two of them; the
    p-value is that of the score test, by Holm's method for as many comparisons as there are.

    Args:
        counts: ``variant``, ``people``, ``converted``.
        control: the variant that the others are compared with; None: the first.

    Raises:
        PermanentError: there are fewer than two variants, or very many, or no such control.
    """
    import polars as pl
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    variants = counts["variant"].to_list()
    if not 2 <= len(variants) <= MOST_VARIANTS:
        number = "fewer than two" if len(variants) < 2 else f"more than {MOST_VARIANTS}"
        raise PermanentError(f"The property has {number} values in this span: there is nothing to compare.")
    if control is not None and control not in variants:
        raise PermanentError(
            "Nobody has the value that is to be the control. It is compared exactly, case and blanks too."
        )
    low, high = proportion_confint(
        counts["converted"].to_numpy(), counts["people"].to_numpy(), 1 - CONFIDENCE, "wilson"
    )
    rows = counts.with_columns(rate=pl.col("converted") / pl.col("people"), low=pl.Series(low), high=pl.Series(high))
    base = rows.row(variants.index(control) if control else 0, named=True)
    others = [row for row in rows.iter_rows(named=True) if row["variant"] != base["variant"]]
    compared = [_against(base, row) for row in others]
    adjusted = multipletests([one["p"] for one in compared], method="holm")[1]
    return pl.DataFrame(
        [{**base, "gain": None, "gain_low": None, "gain_high": None, "p": None}]
        + [{**row, **one, "p": float(p)} for row, one, p in zip(others, compared, adjusted, strict=True)],
        schema_overrides=dict.fromkeys(("gain", "gain_low", "gain_high", "p"), pl.Float64),
    )


def _against(base: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

    counts = (row["converted"], row["people"], base["converted"], base["people"])
    low, high = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=1 - CONFIDENCE)
    same = row["converted"] == base["converted"] == 0 or (row["rate"] == base["rate"] == 1)
    p = 1.0 if same else test_proportions_2indep(*counts, method="score", compare="diff", return_results=False)[1]
    gain = row["rate"] - base["rate"]
    return {"gain": gain, "gain_low": float(low), "gain_high": float(high), "p": float(p)}


def _finding(frame: "pl.DataFrame") -> str:
    base, *others = frame.iter_rows(named=True)
    if len(others) > 1:
        clear = [row["variant"] for row in others if row["p"] < 1 - CONFIDENCE]
        return f"Compared with {base['variant']}: " + (
            ", ".join(clear) + " differ." if clear else "no clear difference."
        )
    (row,) = others
    low, high = 100 * row["gain_low"], 100 * row["gain_high"]
    verdict = "a clear difference" if row["p"] < 1 - CONFIDENCE else "no clear difference"
    return (
        f"{row['variant']} against {base['variant']}: {100 * row['gain']:+.1f} points "
        f"(95 % interval {low:+.1f} to {high:+.1f}, {in_p(row['p'])}): {verdict}."
    )


def _caveats(frame: "pl.DataFrame", strays: int) -> tuple[str, ...]:
    from scipy.stats import chisquare

    said = ["The property tells people apart; only if it was given to them by lot does it explain a difference."]
    p = chisquare(frame["people"].to_numpy()).pvalue
    if p < UNEVEN:
        said.append(f"The groups are not of one size ({in_p(p)}): if they were to be, something sorts people.")
    if strays:
        said.append(f"{strays:,} people had more than one value; they count with their first.")
    if any(min(row["converted"], row["people"] - row["converted"]) < FEW for row in frame.iter_rows(named=True)):
        said.append(f"A group has fewer than {FEW} people who convert, or who do not: too few to say much.")
    if len(frame) > 2:
        said.append(f"{len(frame) - 1} comparisons: the p-values are Holm's, the intervals are each for itself.")
    said.append("Looking again and again until there is a difference finds one by chance.")
    return tuple(said)

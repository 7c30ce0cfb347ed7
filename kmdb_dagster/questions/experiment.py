"""Experiment (A/B test): whether people with one value of a property convert more often than people with another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kmdb_dagster.charts.comparison_charts import draw_experiment
from kmdb_dagster.charts.number_text import describe_duration, p_value_text
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.questions.attribution import Attribution
from kmdb_dagster.questions.conversions import IS_LATER
from kmdb_dagster.questions.labels import pick_values, take_values
from kmdb_dagster.questions.question import Question, Result
from kmdb_dagster.questions.slices import Slice, query_frame

if TYPE_CHECKING:
    import polars as pl
    from duckdb import DuckDBPyConnection

CONFIDENCE = 0.95
MIN_PEOPLE_PER_OUTCOME = 10
"""With fewer people who convert, or who do not, the interval of a variant is too wide to use."""
SAMPLE_RATIO_P_VALUE = 0.001
"""Below this, groups of equal size are implausible: sample ratio mismatch."""
MAX_VARIANTS = 10
MEMBERS = """
    SELECT person, label AS variant, if(c.person IS NULL, 'no', 'yes') AS converted
    FROM labels LEFT JOIN converts c USING (person)
"""


@dataclass(frozen=True)
class Experiment(Question):
    """Who does ``goal`` within ``within`` seconds of the first value of ``variant`` in the span, by that value."""

    variant: str
    goal: str
    within: int
    control: str | None = None
    """The value that the others are compared with. None: the value that most people have."""

    @property
    def reach(self) -> int:
        """Seconds that people are followed after the span."""
        return self.within

    @property
    def people_columns(self) -> tuple[str, ...]:
        """The columns that say in which numbers of the answer a person counts."""
        return ("variant", "converted")

    def compute(self, slice_: Slice) -> Result:
        """Load the slice, and compute the frame."""
        (goal,) = slice_.event_ids([self.goal])
        take_values(slice_, self.variant, Attribution.FIRST_IN_SPAN)
        pick_values(slice_.duck, Attribution.FIRST_IN_SPAN)
        slice_.take_events([goal])
        counts = count_conversions(slice_.duck, goal, self.within)
        if counts.is_empty():
            raise PermanentError(
                f"No person has a “{self.variant}” in this span: there is nothing to compare. Ask about another span."
            )
        switched = count_switched(slice_.duck)
        frame = compare(counts, self.control)
        return Result(
            title=f"Does “{self.variant}” change how many do “{self.goal}” within {describe_duration(self.within)}?",
            finding=_finding(frame),
            number=frame["gain"][1],
            frame=frame,
            caveats=_caveats(frame, switched),
            members=MEMBERS,
            draw=lambda figure: draw_experiment(figure, frame),
        )


def count_conversions(duck: "DuckDBPyConnection", goal: int, within: int) -> "pl.DataFrame":
    """Count the people of each variant, and those who convert after they got it.

    Args:
        duck: A database with the tables ``facts`` and ``labels``.
        goal: The id of the goal's name, as in ``facts.name``.
        within: Seconds allowed from the first value to the goal.

    Returns:
        ``variant``, ``people``, ``converted``; the largest variant first, `MAX_VARIANTS` + 1 rows at most.
    """
    # Two statements, to need less memory, as in `find_conversions`.
    duck.execute(
        f"""
        CREATE TABLE converts AS
        SELECT DISTINCT person FROM facts f JOIN labels s USING (person)
        WHERE f.name = {goal} AND {IS_LATER} AND f.t <= s.t + {within}
        """
    )
    return query_frame(
        duck,
        f"""
        SELECT label AS variant, count(*) AS people, count(converts.person) AS converted
        FROM labels LEFT JOIN converts USING (person)
        GROUP BY label ORDER BY people DESC, variant LIMIT {MAX_VARIANTS + 1}
        """,
    )


def count_switched(duck: "DuckDBPyConnection") -> int:
    """Count people with more than one value of the variant, from the table ``all_labels``."""
    several = "SELECT person FROM all_labels GROUP BY person HAVING min(label) <> max(label)"
    ((count,),) = duck.sql(f"SELECT count(*) FROM ({several})").fetchall()
    return int(count)


def compare(counts: "pl.DataFrame", control: str | None = None) -> "pl.DataFrame":
    """Compute rates and differences to the control, with intervals at the level `CONFIDENCE`.

    Rates have Wilson's interval, differences have Newcombe's. P-values are those of the score test, adjusted for
    multiple comparisons by Holm's method.

    Args:
        counts: ``variant``, ``people``, ``converted``.
        control: The variant that the others are compared with; None: the first row.

    Returns:
        The control first; ``variant``, ``people``, ``converted``, and as Float64 shares ``rate, low, high, gain,
        gain_low, gain_high``, and ``p``. The last four are NULL for the control.

    Raises:
        PermanentError: There are fewer than two variants, more than `MAX_VARIANTS`, or no such control.
    """
    import polars as pl
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    variants = counts["variant"].to_list()
    if not 2 <= len(variants) <= MAX_VARIANTS:
        number = "fewer than two" if len(variants) < 2 else f"more than {MAX_VARIANTS}"
        raise PermanentError(f"The property has {number} values in this span: there is nothing to compare.")
    if control is not None and control not in variants:
        raise PermanentError("No person has the control value. It is compared exactly, including case and blanks.")
    low, high = proportion_confint(
        counts["converted"].to_numpy(), counts["people"].to_numpy(), 1 - CONFIDENCE, "wilson"
    )
    rows = counts.with_columns(rate=pl.col("converted") / pl.col("people"), low=pl.Series(low), high=pl.Series(high))
    base = rows.row(variants.index(control) if control else 0, named=True)
    others = [row for row in rows.iter_rows(named=True) if row["variant"] != base["variant"]]
    compared = [_compare_with(base, row) for row in others]
    adjusted = multipletests([one["p"] for one in compared], method="holm")[1]
    return pl.DataFrame(
        [{**base, "gain": None, "gain_low": None, "gain_high": None, "p": None}]
        + [{**row, **one, "p": float(p)} for row, one, p in zip(others, compared, adjusted, strict=True)],
        schema_overrides=dict.fromkeys(("gain", "gain_low", "gain_high", "p"), pl.Float64),
    )


def _compare_with(base: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
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
        f"(95 % interval {low:+.1f} to {high:+.1f}, {p_value_text(row['p'])}): {verdict}."
    )


def _caveats(frame: "pl.DataFrame", switched: int) -> tuple[str, ...]:
    from scipy.stats import chisquare

    caveats = ["A difference is caused by the property only if its values were assigned at random."]
    p = chisquare(frame["people"].to_numpy()).pvalue
    if p < SAMPLE_RATIO_P_VALUE:
        caveats.append(
            f"The groups differ in size ({p_value_text(p)}): if they should not, the assignment is not random."
        )
    if switched:
        caveats.append(f"{switched:,} people had more than one value; only their first value counts.")
    if any(
        min(row["converted"], row["people"] - row["converted"]) < MIN_PEOPLE_PER_OUTCOME
        for row in frame.iter_rows(named=True)
    ):
        caveats.append(f"A group has fewer than {MIN_PEOPLE_PER_OUTCOME} people who convert, or who do not: too few.")
    if len(frame) > 2:
        caveats.append(f"{len(frame) - 1} comparisons: p-values are adjusted by Holm's method, intervals are not.")
    caveats.append("Repeated looks until a difference appears will find one by chance (optional stopping).")
    return tuple(caveats)

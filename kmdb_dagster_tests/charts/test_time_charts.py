"""A trend draws what is known as a line, what is not complete dashed, and nothing as a note."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from kmdb_dagster.charts.axes import WIDTH_INCHES
from kmdb_dagster.charts.images import render
from kmdb_dagster.charts.time_charts import TimeAxis, draw_trend

DAY = 86_400
START = datetime(2014, 1, 1, tzinfo=UTC)
START_SECOND = int(START.timestamp())


def drawn(counts: list[int], known: float | None = None) -> Axes:
    """Draw a count for each day; all events of the first ``known`` days are imported."""
    times = [START.replace(tzinfo=None) + timedelta(days) for days in range(len(counts))]
    frame = pl.DataFrame(
        {"time": times, "group": ["came"] * len(counts), "events": counts},
        {"time": pl.Datetime, "group": pl.String, "events": pl.Int64},
    )
    end = START_SECOND + max(1, len(counts)) * DAY
    known_end = START_SECOND + int((len(counts) if known is None else known) * DAY)
    figure = Figure()
    edges = tuple(range(START_SECOND, end + DAY, DAY))
    draw_trend(figure, frame, "events", TimeAxis(START_SECOND, end, edges, known_end))
    return figure.axes[0]


def lines(axes: Axes) -> list[tuple[list[float], bool]]:
    """Return the values of each line that has any, and whether it is dashed."""
    found = [(np.asarray(line.get_ydata()).tolist(), line.is_dashed()) for line in axes.lines]
    return [(values, dashed) for values, dashed in found if len(values) > 1]


def notes(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_day_that_is_not_over_is_dashed() -> None:
    assert lines(drawn([5, 6, 7, 1], known=3.2)) == [([5, 6, 7], False), ([7, 1], True)]
    assert lines(drawn([5, 6, 7, 1])) == [([5, 6, 7, 1], False)]


def test_days_that_are_not_imported_yet_are_not_drawn() -> None:
    assert lines(drawn([5, 6, 7, 0, 0], known=3)) == [([5, 6, 7], False)]


def test_a_long_time_before_the_first_event_is_left_out() -> None:
    assert lines(drawn([0] * 26 + [3, 4, 5])) == [([0, 3, 4, 5], False)]
    assert lines(drawn([0, 3, 4, 5])) == [([0, 3, 4, 5], False)]


def test_one_day_is_a_dot() -> None:
    assert drawn([7]).lines[-1].get_marker() == "o"
    assert "o" not in [line.get_marker() for line in drawn([7, 8]).lines]


@pytest.mark.parametrize("counts", [[0, 0, 0], []])
def test_nothing_is_a_note_on_an_axis_of_the_span(counts: list[int]) -> None:
    axes = drawn(counts)
    assert "no events in this span" in notes(axes)
    low, _ = axes.get_xlim()
    assert low == pytest.approx(START_SECOND / DAY, abs=1)


def test_a_png_has_two_dots_for_each_of_a_screens() -> None:
    figure = drawn([1, 2]).get_figure(root=True)
    assert figure is not None
    with Image.open(io.BytesIO(render(figure))) as image:
        assert image.width == 2 * 100 * WIDTH_INCHES

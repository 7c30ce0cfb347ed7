"""The chart kit of answers and of the import report: palette, labels, date axes, images, and one drawing per kind.

Drawing functions take data frames or a `Series`. They know no question, no server and no Dagster.

| module | holds |
| --- | --- |
| ``palette`` | colours |
| ``labels``, ``fonts`` | text that fits its place, fonts for every character |
| ``number_text`` | numbers and durations as text |
| ``axes`` | sizes, margins, titles, grids, date axes |
| ``images`` | PNG, SVG, PDF, and images inside Markdown |
| ``time_charts``, ``step_charts``, ``cohort_charts``, ``comparison_charts`` | charts of answers |
| ``series_charts``, ``series`` | charts of the import report |

Only ``series_charts`` imports matplotlib at once: that takes half a second, so the others import it when they draw.
"""

"""Questions about the events, and their answers: a data frame, a picture, and caveats.

    from kmdb_dagster.questions.funnel import Funnel
    Funnel(("visited site", "signed up"), within=7 * 86_400).ask(engine).frame

Each question is a module with two parts:

* a `Question` (``question``) that loads a slice of the events from the server (``slices``), bounded in time so that the
  server prunes partitions. Its `ask` returns an `Answer` (``answer``);
* a function that computes the frame in DuckDB from the tables of the slice. It knows no server.

``segment`` and ``restriction`` are the people that any question can be about, ``span`` the time that it reads, and
``periods`` the days and months that it is divided into.
``conversions`` and ``groups`` hold what several questions compute, ``logistic`` the regression of the drivers, and
``grammar`` how questions are written. The pictures are in `kmdb_dagster.charts`.

Needs the extra ``analysis``. Nothing of it is imported before a question is asked.
"""

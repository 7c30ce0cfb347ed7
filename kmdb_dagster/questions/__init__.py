"""Questions to the events, and their answers: a frame, a picture, and what the numbers do not say.

    from kmdb_dagster.questions.funnel import Funnel
    Funnel(("visited site", "signed up"), within=7 * 86_400).ask(engine).frame

Each question is a module with three parts. What is asked: a class whose `ask` reads from the top to the bottom. SQL of
few lines that the server answers with a narrow slice, bounded in time, so from few partitions (``slices``). And what is
computed of the slice, a function of tables in a DuckDB (``duck``) that knows no server. All end in an `Answer`
(``answer``), which ``charts`` draws in one ``style``. ``grammar`` says how questions are written.

Needs the extra ``analysis``; nothing of it is imported before a question is asked.
"""

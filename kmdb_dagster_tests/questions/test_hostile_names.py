"""Hostile names and values in answers: counted separately, drawn and printed literally, harmless."""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import polars as pl
import pytest
from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from kmdb_dagster.charts import fonts
from kmdb_dagster.questions.answer import Answer
from kmdb_dagster.questions.grammar import parse
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from testing.buckets import T, event
from testing.databases import empty_database, make_tables
from testing.revisions import Revisions

LINES = (Path(__file__).parents[1] / "cases" / "names-in-pictures-and-tables.json").read_bytes()
COUNTS = Counter(orjson.loads(line)["_n"] for line in LINES.splitlines())
HOSTILE = [name for name in COUNTS if not re.fullmatch(r"visited site|\d+", name)]
LONG = "x" * 200
ONE_DAY = "--since 2014-01-01 --until 2014-01-02 --every 1d"
QUESTIONS = {
    "all": "trend",
    "trend": f"trend 用户注册 '🎉 done' 'paid $5 to $10 plan' مرحبا '<b>bold</b>' {LONG}",
    "trend by": "trend 'visited site' --by 'plan name'",
    "funnel": f"funnel 'visited site' 'paid $5 to $10 plan' 用户注册 '🎉 done' 'a → b' {LONG} --within 30d",
    "funnel by": f"funnel 'paid $5 to $10 plan' {LONG} --by note --within 30d",
    "paths": "paths 'paid $5 to $10 plan' --within 30d --longest 10",
    "paths to": f"paths {LONG} 2 --within 30d",
    "delay": "delay 'visited site' 'paid $5 to $10 plan' --by 'plan name' --within 30d",
    "delay by": "delay 用户注册 '`tick`' --by note --within 30d",
    "power": f"power 用户注册 '🎉 done' '<b>bold</b>' {LONG} --each 1h",
    "repeats": "repeats 'visited site' 'paid $5 to $10 plan' --by 'plan name'",
    "experiment": "experiment 'plan name' 'paid $5 to $10 plan' --within 30d",
    "drivers": "drivers 'visited site' 'paid $5 to $10 plan' --with 'plan name' --with note --within 30d",
    "retention": f"retention {LONG} --every 1h",
}


@pytest.fixture(scope="module")
def asked(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse with these names."""
    with empty_database(server_url) as url:
        make_tables(url)
        warehouse = Warehouse(database_url(url))
        Revisions(warehouse, tmp_path_factory.mktemp("lake")).put(1, LINES)
        yield warehouse
        warehouse.close()


def ask(warehouse: Warehouse, question: str) -> Answer:
    return parse(question).ask(warehouse.engine)


def quoted(name: str) -> str:
    return "'" + name.replace("'", "'\"'\"'") + "'"


@pytest.mark.parametrize("names", [["visited site", "40", "16", "1"], HOSTILE[:6], HOSTILE[6:12], HOSTILE[12:]])
def test_an_event_named_like_the_id_of_another_is_counted_separately(names: list[str], asked: Warehouse) -> None:
    frame = ask(asked, f"trend {' '.join(map(quoted, names))}").frame
    found = dict(frame.group_by("group").sum().select("group", "events").iter_rows())
    assert found == {name: COUNTS[name] for name in names}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_picture_draws_every_character_in_text_that_fits(question: str, asked: Warehouse) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = ask(asked, question)
        assert answer.picture().startswith(b"\x89PNG")
        figure = answer.figure()
        with fonts.literal_text():
            FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]  # matplotlib's
    for found in figure.findobj(Text):
        assert isinstance(found, Text)
        box = found.get_window_extent()
        assert not found.get_text() or (box.x0 >= 0 and box.x1 <= figure.bbox.width + 2), found.get_text()
        assert "\x1b" not in found.get_text()
        assert "Boxes" not in found.get_text(), "run dev/bootstrap: a font is missing"


def test_prices_are_not_rendered_as_tex(asked: Warehouse) -> None:
    figure = ask(asked, QUESTIONS["trend by"]).figure()
    texts = {found.get_text(): found for found in figure.findobj(Text) if isinstance(found, Text)}
    assert {"$19 to $49", "$5_$10", "$$", "$50% off $10"} <= texts.keys()
    assert not any(texts[name].get_parse_math() for name in texts if "$" in name)


def test_a_long_name_keeps_both_its_ends(asked: Warehouse) -> None:
    figure = ask(asked, QUESTIONS["funnel"]).figure()
    texts = [found.get_text() for found in figure.findobj(Text) if isinstance(found, Text)]
    assert any(re.fullmatch(r"6\. x+…x+", text) for text in texts)


@pytest.mark.parametrize("question", [*QUESTIONS.values(), *(f"trend {quoted(name)}" for name in HOSTILE)])
def test_markdown_of_an_answer_fetches_nothing_and_links_nowhere(
    question: str, asked: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answer, "picture", lambda _: b"\x89PNG")
    answer = ask(asked, question)
    tokens = MarkdownIt("commonmark").enable("table").parse(answer.markdown())
    inner = [child for token in tokens for child in token.children or ()]
    kinds = Counter(token.type for token in [*tokens, *inner])
    assert kinds["image"] == 1
    assert not {"link_open", "html_inline", "html_block", "code_inline", "em_open", "strong_open"} & kinds.keys()
    shown = [token.content for token in inner if token.type == "text"]
    assert not re.search(r"(?i)(https?|ftp)://|www\.", "".join(shown))
    assert kinds["tr_open"] == 1 + min(50, len(answer.frame))


def test_markdown_shows_names_as_they_are(asked: Warehouse) -> None:
    answer = ask(asked, f"trend {' '.join(map(quoted, HOSTILE[4:10]))} {ONE_DAY}")
    rendered = "".join(
        "".join(child.content for child in token.children or ())
        for token in MarkdownIt("commonmark").enable("table").parse(answer.table())
    )
    for name in HOSTILE[4:10]:
        assert name in rendered.replace("\u200b", "")


@pytest.mark.parametrize("question", [*QUESTIONS.values(), *(f"trend {quoted(name)}" for name in HOSTILE)])
def test_csv_of_an_answer_holds_no_formula_and_no_control_character(question: str, asked: Warehouse) -> None:
    answer = ask(asked, question)
    text = answer.csv()
    header, *rows = csv.reader(io.StringIO(text))
    assert header == answer.frame.columns
    assert len(rows) == len(answer.frame)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "@", "+")), cell
        assert not cell.startswith("-") or float(cell) <= 0


@pytest.mark.parametrize("word", ["(none)", "(other)", "(empty)"])
@pytest.mark.parametrize("question", ["trend came --by plan", "funnel came --by plan", "trend"])
def test_a_name_like_a_group_label_is_counted_separately(
    word: str, question: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    lines = [event("came", f"{number}", T, plan=word) for number in range(3)]
    lines += [event("came", "none", T), event("came", "empty", T, plan=""), *[event(word, "other", T)] * 3]
    lines += [event(f"e{number}", "x", T, plan=f"p{number}") for number in range(7)]
    lines += [event("came", f"y{number}", T, plan=f"p{number}") for number in range(7)]
    Revisions(warehouse, tmp_path).put(1, *lines)
    frame = ask(warehouse, question).frame
    column = "events" if "events" in frame.columns else "people"
    found = dict(frame.group_by("group").agg(pl.col(column).sum()).iter_rows())
    assert sum(found.values()) == (12 if "by" in question else 22)
    assert found[f"“{word}”"] == 3


def test_csv_keeps_numbers_and_other_names(asked: Warehouse) -> None:
    answer = ask(asked, "trend '=cmd|'\"'\"' /C calc'\"'\"'!A0' 40 " + ONE_DAY)
    rows = list(csv.reader(io.StringIO(answer.csv())))
    assert rows[1:] == [
        ["2014-01-01T00:00:00.000000", "40", "50", "50"],
        ["2014-01-01T00:00:00.000000", "'=cmd|' /C calc'!A0", "3", "3"],
    ]

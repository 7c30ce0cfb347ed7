"""Escaping of untrusted text for terminals, Markdown, spreadsheets and labels."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from kmdb_dagster.output_escaping import (
    for_csv_cell,
    for_label,
    for_markdown,
    for_markdown_code,
    for_markdown_inline_code,
    for_markdown_table,
    for_terminal,
    for_terminal_line,
)

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKS = st.sampled_from([*"\\`*_{}[]()#+-.!|~$:@/=^\"'<>&\n\t \x1b\u202ea1", "![", "](", "http://", "www.", "```"])
TEXT = st.lists(st.one_of(MARKS, st.characters(exclude_categories=["Cs"])), max_size=25).map("".join)
INSTRUCTIONS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u2028\u2029]")


@given(TEXT)
def test_terminal_output_contains_no_control_characters(text: str) -> None:
    assert not INSTRUCTIONS.search(for_terminal(text))
    assert "\n" not in for_terminal_line(text)
    if not INSTRUCTIONS.search(text):
        assert for_terminal(text) == text


@given(TEXT)
@example("![x](http://127.0.0.1:9/x.png)")
@example("<img src=http://127.0.0.1:9/x.png>")
@example("[a]: http://127.0.0.1:9/")
@example("<http://127.0.0.1:9/>")
@example("# x")
@example("1. x")
@example("    x")
@example("| a |\n| - |")
@example("&lt;b&gt; &amp;#60;")
def test_markdown_renders_a_name_as_the_name(text: str) -> None:
    (start, inline, end) = RENDERER.parse(f"x{for_markdown(text)}x")
    assert (start.type, inline.type, end.type) == ("paragraph_open", "inline", "paragraph_close")
    assert {child.type for child in inline.children or ()} <= {"text", "text_special"}
    rendered = "".join(child.content for child in inline.children or ())
    assert rendered.replace("\u200b", "") == f"x{for_terminal_line(text)}x".replace("\u200b", "")


@given(TEXT, TEXT)
def test_a_name_fills_one_cell_of_a_markdown_table(left: str, right: str) -> None:
    tokens = RENDERER.parse(for_markdown_table([["a", "b"], [left, right]]))
    assert [token.type for token in tokens].count("td_open") == 2
    assert {child.type for token in tokens for child in token.children or ()} <= {"text", "text_special"}


@given(TEXT)
@example("```\n![x](http://127.0.0.1:9/x.png)\n```")
def test_text_cannot_end_a_markdown_code_block(text: str) -> None:
    (block,) = RENDERER.parse(for_markdown_code(text, "sql"))
    assert (block.type, block.info) == ("fence", "sql")


@given(TEXT)
@example("`")
@example("``![x](http://127.0.0.1:9/x.png)")
def test_text_cannot_end_markdown_inline_code(text: str) -> None:
    _, inline, _ = RENDERER.parse(f"x {for_markdown_inline_code(f'k{text}k')} x")
    assert [child.type for child in inline.children or ()] == ["text", "code_inline", "text"]


@pytest.mark.parametrize(
    "address", ["http://evil.example", "HTTPS://evil.example", "www.evil.example", "ftp://e.example"]
)
def test_an_address_in_text_is_not_auto_linked(address: str) -> None:
    rendered = "".join(child.content for child in RENDERER.parse(for_markdown(address))[1].children or ())
    assert not re.search(r"(?i)(https?|ftp)://|www\.", rendered)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd", "'+cmd"),
        ("-2+3", "'-2+3"),
        ("\uff1d1", "'\uff1d1"),
        ("\t=1", "\\u0009=1"),
        ("\r=1", "\\u000d=1"),
        ("\n=1", "\\n=1"),
        ("-12.5", "-12.5"),
        ("+4", "+4"),
        ("-1e-3", "-1e-3"),
        ("-٣", "'-٣"),
        ("pro", "pro"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_spreadsheet_cell_is_never_a_formula_and_numbers_stay_numbers(cell: str, written: str) -> None:
    assert for_csv_cell(cell) == written


@given(TEXT, st.integers(4, 40))
def test_a_label_is_one_line_of_limited_length(text: str, most: int) -> None:
    label = for_label(text, most)
    assert cell_len(label) <= most
    assert not INSTRUCTIONS.search(label)
    assert "\n" not in label


def test_a_long_label_is_shortened_in_the_middle() -> None:
    assert for_label("a" * 100 + "b" * 100, 10) == "aaaaaa…bbb"
    assert for_label("short") == "short"
    assert for_label("用户注册" * 10, 10) == "用户注…册"

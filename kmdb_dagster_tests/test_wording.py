"""Numbers in sentences."""

import pytest

from kmdb_dagster.wording import counted, named_range, named_ranges, shorten


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "revision", "", "0 revisions"),
        (1, "revision", "", "1 revision"),
        (1200, "revision", "", "1,200 revisions"),
        (2, "identity", "", "2 identities"),
        (1, "person", "people", "1 person"),
        (2, "person", "people", "2 people"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(number: int, noun: str, plural: str, text: str) -> None:
    assert counted(number, noun, plural) == text


def test_one_revision_is_not_written_as_a_range() -> None:
    assert named_range(45, 45) == named_ranges("45") == "revision 45"
    assert named_range(45, 50) == named_ranges("45..50") == "revisions 45..50"
    assert named_ranges("3, 5..8") == "revisions 3, 5..8"


@pytest.mark.parametrize(
    ("text", "length", "shortened"),
    [
        ("All of it.", 10, "All of it."),
        ("One. Two three. Four.", 20, "One. Two three. …"),
        ("One.\nTwo three four.", 12, "One. …"),
        ("One two three four", 12, "One two …"),
        ("Onetwothreefour", 12, "Onetwothre …"),
    ],
)
def test_a_long_text_is_cut_after_a_line_or_a_sentence(text: str, length: int, shortened: str) -> None:
    assert shorten(text, length) == shortened
    assert len(shortened) <= length

"""How a list of identities is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.identity_list import parse_identities


@pytest.mark.parametrize(
    ("data", "forms"),
    [
        (b"bob\n", [("bob",)]),
        (b"\xef\xbb\xbfbob\r\n", [("\ufeffbob", "bob")]),
        (b' "bo""b " ', [(' "bo""b " ', '"bo""b "', 'bo"b ', 'bo"b')]),
        (b'"\n', [('"',)]),
        (b"\xc2\xa0bob\xc2\xa0", [("\xa0bob\xa0", "bob")]),
        ("bob\r\n7\r\n".encode("utf-16"), [("bob",), ("7",)]),
    ],
)
def test_a_line_is_looked_up_as_it_is_and_then_without_the_quoting_of_a_spreadsheet(
    data: bytes, forms: list[tuple[str, ...]]
) -> None:
    assert [item.forms for item in parse_identities(data)] == forms


def test_lines_are_numbered_as_in_the_file() -> None:
    assert [item.line for item in parse_identities(b'\na\n \n""\nb')] == [2, 5]


@given(st.text().filter(lambda name: name.strip() and not {"\n", "\r"} & set(name)))
def test_any_identity_of_one_line_is_among_the_forms_of_its_line(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    plain, cell = parse_identities(f"{name}\n {quoted}\r\n".encode())
    assert plain.forms[0] == name
    assert name in cell.forms

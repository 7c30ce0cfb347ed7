"""The fast and the careful parser agree, and values of an export round-trip."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.fields import read_careful
from kmdb_dagster.km_export.reader import read_columns, read_lines
from kmdb_dagster.km_export.records import Event, PropertySet, Record, Rejected, Value

PLAIN_ATOMS = [*"abc_pnt2 ", '"_', "é", "😀", "\\", "\t", "\x00", "\x7f", "\u2028"]
ESCAPES = [
    r"\u00e9",
    r"\u0000",
    r"\u005f",
    r"\u005F",
    r"\ud83d",
    r"\ude00",
    r"\303",
    r"\251",
    r"\000",
    r"\137",
    r"\\",
    r"\"",
    r"\/",
    r"\n",
    r"\q",
]
ATOMS = st.sampled_from(PLAIN_ATOMS + ESCAPES)
INSIDES = st.lists(ATOMS, max_size=6).map("".join)
NAMES = st.sampled_from(["_p", "_t", "_n", "_p2", "_c", "\\u005fp", "\\137t", "v"]) | INSIDES
STRINGS = INSIDES.map(lambda inside: f'"{inside}"')
VALUES = STRINGS | st.sampled_from(
    ["1", "0", "-0", "1397577453", "253402300800", "1.5", "1e3", "true", "null", "NaN", "[]", '{"_p":"x"}', '["a"]']
)
MEMBERS = st.tuples(NAMES, VALUES).map(lambda member: f'"{member[0]}":{member[1]}')
SYSTEM = st.sampled_from(['"_p":"bob"', '"_t":1397577453', '"_n":"ev"', '"_p2":"ann"'])
ENDS = st.sampled_from(["", "", "", "\r", " ", "}", "\ufeff", "{}"])
LINES = st.builds(
    lambda start, members, end: (start + "{" + ",".join(members) + "}" + end).encode(),
    ENDS,
    st.lists(SYSTEM | MEMBERS, max_size=8),
    ENDS,
)


def careful_records(lines: list[bytes]) -> list[Record]:
    return [record for number, line in enumerate(lines, 1) for record in read_careful(number, line)]


def in_order(records: list[Record]) -> list[object]:
    """Dictionaries are equal in any order; the order of properties numbers the rows, so it must be the same too."""
    return [list(r.properties.items()) if isinstance(r, Event | PropertySet) else r for r in records]


@given(st.lists(LINES, min_size=1, max_size=4))
def test_both_parsers_read_a_block_alike(lines: list[bytes]) -> None:
    fast = list(read_lines([b"\n".join(lines)]))
    careful = careful_records(lines)
    assert fast == careful
    assert in_order(fast) == in_order(careful)


@pytest.mark.parametrize(
    ("around", "is_plain"),
    [
        (b'{"_c":"x","v":1,"_n":"ev","_p":"bob","_t":1397577453}', True),
        (b'{"v":1.5,"_p":"bob","_t":1397577453}', False),
    ],
)
def test_a_duplicate_field_is_rejected_between_plain_and_other_lines(around: bytes, *, is_plain: bool) -> None:
    """The fast path reads the plain line, and leaves the other one to the careful path."""
    assert [isinstance(found, Columns) for found in read_columns([around])] == [is_plain]
    twice = b'{"_n":"ev","_p":"bob","_p":"ann","_t":1397577453}'
    lines = [around, twice, around]
    assert isinstance(careful_records(lines)[1], Rejected)
    assert list(read_lines([b"\n".join(lines)])) == careful_records(lines)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
IDENTITIES = TEXTS.filter(str.strip)
EVENT_NAMES = TEXTS.filter(bool)
PROPERTIES = st.dictionaries(TEXTS.filter(lambda name: name not in {"_p", "_p2", "_t", "_n"}), TEXTS, max_size=5)


def raw(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def escaped(text: str) -> bytes:
    return json.dumps(text).encode()


def octal(text: str) -> bytes:
    return b"".join(b"\\%03o" % byte if byte > 127 else bytes((byte,)) for byte in raw(text))


def all_octal(text: str) -> bytes:
    return b'"' + b"".join(b"\\%03o" % byte for byte in text.encode()) + b'"'


@pytest.mark.parametrize("written", [raw, escaped, octal, all_octal])
@given(identity=IDENTITIES, name=EVENT_NAMES, properties=PROPERTIES)
def test_values_of_an_export_round_trip(
    written: Callable[[str], bytes], identity: str, name: str, properties: dict[str, str]
) -> None:
    members = [written(key) + b":" + written(value) for key, value in properties.items()]
    line = b",".join([*members, b'"_n":' + written(name), b'"_p":' + written(identity), b'"_t":1397577453'])
    values: dict[str, Value] = {**properties}
    expected = [Event(1, identity, 1397577453, name, values)]
    assert list(read_lines([b"{" + line + b"}\n"])) == expected
    assert read_careful(1, b"{" + line + b"}") == expected

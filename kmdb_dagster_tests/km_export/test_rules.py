"""The reading rules, one line at a time, beyond the cases of the corpus."""

import pytest

from kmdb_dagster.km_export.columns import Columns
from kmdb_dagster.km_export.fields import read_careful
from kmdb_dagster.km_export.reader import read_columns, read_lines
from kmdb_dagster.km_export.record_json import as_json
from kmdb_dagster.km_export.records import Alias, Event, PropertySet, Reason, Record, Rejected, Typed, Value

T = 1397577453


def read(line: str | bytes) -> list[Record]:
    return list(read_lines([line.encode() if isinstance(line, str) else line]))


def reason(line: str | bytes) -> Reason:
    (record,) = read(line)
    assert isinstance(record, Rejected)
    return record.reason


def value_of(written: str | bytes) -> Value:
    """What becomes of a property value, as it stands in a line."""
    written = written.encode() if isinstance(written, str) else written
    (record,) = read(b'{"v":' + written + b',"_p":"bob","_t":1}')
    assert isinstance(record, PropertySet)
    return record.properties["v"]


@pytest.mark.parametrize(
    ("written", "t"),
    [
        ("1", 1),
        ("253402300799", 253402300799),
        ("253402300799.999", 253402300799),
        ('"253402300799"', 253402300799),
        ('"0001397577453"', T),
        ("1397577453.999999999999999999", T),
        ("13975774.53e2", T),
        ("139757745300000E-5", T),
        ("1.5", 1),
        ("0.001e3", 1),
        ("1e+0", 1),
        ("1e-0000", 1),
    ],
)
def test_a_time_is_read_as_whole_seconds_rounded_down(written: str, t: int) -> None:
    assert read(f'{{"_n":"ev","_p":"bob","_t":{written}}}') == [Event(1, "bob", t, "ev", {})]


@pytest.mark.parametrize(
    "written",
    [
        "253402300800",
        "1397577453000",
        "0",
        "-0",
        "0.999",
        "-0.5",
        "-1.5",
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        "0e999999999",
        "1e99999999999999999999999999999999",
        "1e" + "9" * 5000,
        "9" * 5000,
        '"0"',
        '"' + "9" * 5000 + '"',
    ],
)
def test_a_time_outside_1970_to_9999_is_rejected(written: str) -> None:
    assert reason(f'{{"_n":"ev","_p":"bob","_t":{written}}}') is Reason.TIMESTAMP_OUT_OF_RANGE


@pytest.mark.parametrize(
    "written", ["1397577453 ", " 1397577453", "+5", "-5", "٣", "1.5", "1e3", "0x10", " ", "1_000", "\\303"]
)
def test_a_time_in_a_string_must_be_digits_alone(written: str) -> None:
    assert reason(f'{{"_n":"ev","_p":"bob","_t":"{written}"}}') is Reason.TIMESTAMP_INVALID


@pytest.mark.parametrize("digits", ["5", "-5", "0", "-0", "9" * 5000])
def test_an_integer_is_an_identity_as_its_digits(digits: str) -> None:
    assert read(f'{{"_n":"ev","_p":{digits},"_t":1}}') == [Event(1, digits, 1, "ev", {})]


@pytest.mark.parametrize("written", ["1.0", "1e3", "1E3", "-1.5", "false", "[]", "{}", '"\\000"', '"a\\u0000"'])
def test_a_value_that_is_not_a_name_is_not_an_identity(written: str) -> None:
    assert reason(f'{{"_n":"ev","_p":{written},"_t":1}}') is Reason.IDENTITY_INVALID
    assert reason(f'{{"_p":"bob","_p2":{written},"_t":1}}') is Reason.ALIAS_INVALID


@pytest.mark.parametrize(
    "written", [rb"\377", rb"\ud83d", b"\xff", rb"\355\240\275\355\270\200", rb"\ud83d\355\270\200", rb"\303"]
)
def test_an_identity_that_is_not_text_is_rejected(written: bytes) -> None:
    assert reason(b'{"_n":"ev","_p":"bob%b","_t":1}' % written) is Reason.IDENTITY_NOT_UTF8
    assert reason(b'{"_n":"ev","_p2":"bob%b","_p":"bob","_t":1}' % written) is Reason.ALIAS_NOT_UTF8


@pytest.mark.parametrize("blank", ['""', "null", '" "', '"\\t"', '"\u00a0"'])
def test_a_blank_identity_is_not_an_identity(blank: str) -> None:
    assert reason(f'{{"_n":"ev","_p":{blank},"_t":1}}') is Reason.IDENTITY_MISSING
    assert reason(f'{{"_p2":{blank},"_p":"bob","_t":1}}') is Reason.ALIAS_MISSING
    assert read(f'{{"_p2":{blank},"_n":"ev","_p":"bob","_t":1}}') == [Event(1, "bob", 1, "ev", {})]
    assert read(f'{{"_p2":{blank},"v":"x","_p":"bob","_t":1}}') == [PropertySet(1, "bob", 1, {"v": "x"})]


def test_an_alias_line_keeps_its_event_and_properties() -> None:
    alias = Alias(1, "bob", "ann", 1)
    assert read('{"_p2":"ann","_p":"bob","_t":1}') == [alias]
    assert read('{"_p2":"ann","v":"x","_p":"bob","_t":1}') == [alias, PropertySet(1, "bob", 1, {"v": "x"})]
    assert read('{"_p2":"ann","_n":"ev","v":"x","_p":"bob","_t":1}') == [alias, Event(1, "bob", 1, "ev", {"v": "x"})]
    assert read('{"_p2":"ann","_n":"","_p":"bob","_t":1}') == [alias]
    assert read('{"_p2":7,"_p":-5,"_t":1}') == [Alias(1, "-5", "7", 1)]


def test_an_event_may_be_named_by_blanks_or_by_a_number_but_not_by_nothing() -> None:
    assert read('{"_n":"  ","_p":"bob","_t":1}') == [Event(1, "bob", 1, "  ", {})]
    assert read('{"_n":1.50,"_p":"bob","_t":1}') == [Event(1, "bob", 1, "1.50", {})]
    assert reason('{"_n":"","_p":"bob","_t":1}') is Reason.EMPTY_RECORD
    assert reason('{"_p":"bob","_t":1}') is Reason.EMPTY_RECORD


@pytest.mark.parametrize(
    "second", ['"_p":"ann"', '"\\u005fp":"ann"', '"\\u005Fp":"ann"', '"_\\u0070":"ann"', '"\\137p":"ann"', '"_p":1']
)
def test_a_duplicate_system_field_is_found_however_it_is_escaped(second: str) -> None:
    assert reason(f'{{"_n":"ev","_p":"bob",{second},"_t":1}}') is Reason.DUPLICATE_SYSTEM_FIELD
    assert reason(f'{{{second},"_n":"ev","_p":"bob","_t":1}}') is Reason.DUPLICATE_SYSTEM_FIELD


@pytest.mark.parametrize("second", ['"_t":1.0', '"_t":"1"', '"_n":"other"', '"_n":null', '"_p2":"x","_p2":"y"'])
def test_duplicate_system_fields_must_be_equal(second: str) -> None:
    assert reason(f'{{"_n":"ev","_p":"bob",{second},"_t":1}}') is Reason.DUPLICATE_SYSTEM_FIELD


def test_a_duplicate_system_field_is_distinguished_from_similar_names_and_values() -> None:
    good = '{"_c":"_p","_n":"_n","_p":"bob","_t":1}'
    twice = '{"_c":"_p","_n":"_n","_p":"bob","_p":"ann","_t":1}'
    without = '{"_n":"ev","_p":"bob"}'
    records = list(read_lines([f"{good}\n{twice}\n{without}\n{good}".encode()]))
    outcomes = [as_json(record)["outcome"] for record in records]
    assert outcomes == ["event", "rejected", "rejected", "event"]


def test_a_duplicate_property_has_its_last_value_at_its_first_position() -> None:
    for line in ('{"a":"1","b":"2","a":"3","_p":"bob","_t":1}', '{"a":"1","b":"2","\\141":"3","_p":"bob","_t":1}'):
        (record,) = read(line)
        assert isinstance(record, PropertySet)
        assert list(record.properties.items()) == [("a", "3"), ("b", "2")]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"a\rb", "a\rb"),
        (b"a\rb", "a\rb"),
        (rb"\x41\'\a\e\u12\uZZZZ", r"\x41\'\a\e\u12\uZZZZ"),
        (rb"\\303\\\303\251", "\\303\\é"),
        (rb"\3030", "\ufffd0"),
        (rb"\303\u0041", "\ufffdA"),
        (rb"\uD83D\uDE00", "😀"),
        (rb"\ud83d\303\251", "\ufffdé"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (b"\\303\xa9", "é"),
        (b"\xc3\\251", "é"),
        (rb"\000\u0000", "\ufffd\ufffd"),
        (b"a\x00b\x01", "a\ufffdb\x01"),
        (rb"\012\042\134", '\n"\\'),
        (b"\\\xc3\xa9", "\\é"),
    ],
)
def test_a_value_is_decoded_byte_by_byte(written: bytes, text: str) -> None:
    assert value_of(b'"' + written + b'"') == text


@pytest.mark.parametrize("text", ["0", "-0", "1.10", "1E3", "1e-400", "9" * 5000, "-1.5e+10"])
def test_a_number_keeps_its_digits(text: str) -> None:
    assert value_of(text) == Typed("number", text)


@pytest.mark.parametrize(
    "written", ["01", "1.", ".5", "+1", "-", "1e", "NaN", "Infinity", "-Infinity", "True", "nul", "'a'", "", "[1,]"]
)
def test_literals_outside_json_are_rejected(written: str) -> None:
    assert reason(f'{{"v":{written},"_p":"bob","_t":1}}') is Reason.INVALID_JSON


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (' [ 1.10 , "x" , null , true , [ ] , { } ]', '[1.10,"x",null,true,[],{}]'),
        (r'{"caf\303\251":{"b":"\"\\\001"}}', '{"café":{"b":"\\"\\\\\\u0001"}}'),
        ('{"a":[{"b":[1,[2]]}],"c":1}', '{"a":[{"b":[1,[2]]}],"c":1}'),
        (r'["\ud83d"]', '["\ufffd"]'),
    ],
)
def test_a_nested_value_is_kept_as_compact_json(written: str, text: str) -> None:
    assert value_of(written) == Typed("json", text)


@pytest.mark.parametrize("written", ["[1}", '{"a"}', "{1:2}", "[1 2]", "[,1]", '{"a":1,}', "[", '{"a":[', "[1,", "]"])
def test_an_incomplete_nested_value_is_rejected(written: str) -> None:
    assert reason(f'{{"v":{written},"_p":"bob","_t":1}}') is Reason.INVALID_JSON


def test_deep_nesting_is_kept_up_to_a_limit_and_then_rejected() -> None:
    assert value_of("[" * 500 + "]" * 500) == Typed("json", "[" * 500 + "]" * 500)
    for depth in (513, 1_500, 100_000):
        nested = "[" * depth + "]" * depth
        assert reason(f'{{"v":{nested},"_p":"bob","_t":1}}') is Reason.NESTING_TOO_DEEP


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"_p":"bob","_t":1]', Reason.INVALID_JSON),
        ('{"_p":"bob" "_t":1}', Reason.INVALID_JSON),
        ("{,}", Reason.INVALID_JSON),
        ("{]", Reason.INVALID_JSON),
        ("{", Reason.INVALID_JSON),
        ("}", Reason.INVALID_JSON),
        ("{}", Reason.IDENTITY_MISSING),
        ("{} x", Reason.TRAILING_DATA),
        ("{}\0", Reason.TRAILING_DATA),
        ("[1]", Reason.NOT_AN_OBJECT),
        ("[1] x", Reason.INVALID_JSON),
        ('{"_p":"a","_p":"b"', Reason.INVALID_JSON),
        ('\f{"_n":"ev","_p":"bob","_t":1}', Reason.INVALID_JSON),
        ('\u00a0{"_n":"ev","_p":"bob","_t":1}', Reason.INVALID_JSON),
    ],
)
def test_a_line_that_is_not_one_object_is_rejected(line: str, expected: Reason) -> None:
    assert reason(line) is expected


def test_a_property_with_an_empty_name_is_kept() -> None:
    assert read('{"":"x","_p":"bob","_t":1}') == [PropertySet(1, "bob", 1, {"": "x"})]


def test_blanks_between_tokens_are_ignored() -> None:
    assert read('\t{ "_n" :\t"ev" , "_p"\r: "bob","_t" : 1 } \r') == [Event(1, "bob", 1, "ev", {})]


def test_two_objects_on_one_line_and_one_object_on_two_lines_are_rejected() -> None:
    good = b'{"_n":"ev","_p":"bob","_t":1}'
    records = list(read_lines([b"\n".join([good, good[:11], good[11:], good + b"," + good, good])]))
    assert [as_json(record)["outcome"] for record in records] == ["event", "rejected", "rejected", "rejected", "event"]


def test_a_rejected_line_is_reported_without_its_content() -> None:
    (record,) = read('{"_p":"bob@example.com"}')
    assert as_json(record) == {"line": 1, "outcome": "rejected", "reason": "timestamp_missing"}


def test_plain_lines_are_read_by_the_fast_path() -> None:
    lines = [
        b'{"v":"1","_n":"ev","_p":"bob","_t":1}',
        b'{"v":"caf\\303\\251 \\\\303 \\/ \\ud83d\\ude00","_p":"bob","_t":1}\r',
        b'{"_p2":"ann","_p":"bob","_t":1}',
        b'{ "_c" : "mobile_app","\xc3\xa9":"x","_n":"ev","_p":"bob","_t":253402300799 }',
        b'{"_c":"mobile_app","_server_timestamp":1388534461,"n":0,"_p":"bob","_t":1}',
    ]
    careful = [record for number, line in enumerate(lines, 1) for record in read_careful(number, line)]
    (columns,) = read_columns([b"\n".join(lines) + b"\n"])
    assert isinstance(columns, Columns)
    assert list(columns.records()) == careful

"""Lines that name an erased person are found by digest."""

import pytest

from kmdb_dagster.digest import digest
from kmdb_dagster.erasure.digests import ErasedIdentities


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b'{"_p":"b\\303\\263b x","_t":', True),
        ('{"_p":"bób x"'.encode(), True),
        (b'{"_p":"b\\u00f3b x","_n"', True),
        (b"7", True),
        (b'{"_p":7,"_t":"x"}', True),
        (b"came;7;x", True),
        (b'{"_p":"77"}', False),
        ('{"_p":"bób xx"'.encode(), False),
        (b'{"_p":"b\\303\\263', False),
        (b"\xff\x00\\", False),
        (b'"' * 100_000, False),
    ],
)
def test_an_unreadable_line_names_a_person_if_the_digest_of_a_quoted_string_or_word_matches(
    raw: bytes, *, named: bool
) -> None:
    assert ErasedIdentities([digest("bób x"), digest("7")]).named_in(raw) is named
    assert not ErasedIdentities().named_in(raw)

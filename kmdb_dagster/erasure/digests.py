"""Whether an identity is that of a forgotten person, and whether a refused line names one.

Forgotten identities are known by their digest only. So a line that cannot be read is looked through for whatever may
be an identity: each string in quotes, and each word.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

from kmdb_dagster.digest import digest
from kmdb_dagster.km_export.scanner import unescaped

# Possessive, as in `lenient`: a line costs its length, whatever stands on it.
_STRING = re.compile(rb'"((?:[^"\\]++|\\.)++)', re.DOTALL)
_WORDS = (re.compile(rb'[^\s",:{}\[\]]++'), re.compile(rb"[\w.@+-]++"))


class Forgotten:
    """The identities of forgotten people."""

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self.digests = frozenset(digests)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.digests)

    def __contains__(self, identity: object) -> bool:
        """Whether this is one."""
        return isinstance(identity, str) and digest(identity) in self.digests

    def named_in(self, raw: bytes) -> bool:
        """Whether a line that cannot be read names one: whole, in quotes or as a word."""
        return bool(self) and any(sha256(candidate).digest() in self.digests for candidate in _candidates(raw))


NOBODY = Forgotten()


def _candidates(raw: bytes) -> Iterator[bytes]:
    yield raw.strip()
    for string in _STRING.finditer(raw):
        yield unescaped(string[1])
    for words in _WORDS:
        for word in words.finditer(raw):
            yield word[0]

"""Recognize erased identities by their digests, also on a rejected line.

The database keeps only digests of erased identities. A rejected line has no fields, so every part of it that may be
an identity is hashed and compared: the whole line, each string in quotes, each word.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

from kmdb_dagster.digest import digest
from kmdb_dagster.km_export.lenient_json import unescaped

# Possessive quantifiers, as in `km_export`: the time is linear in the length of the line.
_STRING = re.compile(rb'"((?:[^"\\]++|\\.)++)', re.DOTALL)
_WORDS = (re.compile(rb'[^\s",:{}\[\]]++'), re.compile(rb"[\w.@+-]++"))


class ErasedIdentities:
    """A set of identities, known by their digests (SHA-256, 32 bytes each)."""

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self.digests = frozenset(digests)

    def __bool__(self) -> bool:
        """Return whether the set has any identity."""
        return bool(self.digests)

    def __contains__(self, identity: object) -> bool:
        """Return whether an identity is erased. Anything but a string is not."""
        return isinstance(identity, str) and digest(identity) in self.digests

    def named_in(self, raw: bytes) -> bool:
        """Return whether a rejected line names an erased identity: as a whole, in quotes or as a word."""
        return bool(self) and any(sha256(candidate).digest() in self.digests for candidate in _candidates(raw))


def _candidates(raw: bytes) -> Iterator[bytes]:
    yield raw.strip()
    for string in _STRING.finditer(raw):
        yield unescaped(string[1])
    for words in _WORDS:
        for word in words.finditer(raw):
            yield word[0]

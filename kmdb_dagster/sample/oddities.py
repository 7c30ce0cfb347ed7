r"""Write the unusual lines of a sample: the hard cases of real exports, each at a fixed rate.

A correct reader rejects `cut_off`, `no_timestamp` and `empty_identity`, and skips `blank`. All others are records.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from kmdb_dagster.sample.people import anonymous_id, roll

PERIOD = 1000
"""In this many consecutive lines each kind occurs ``times`` times."""


class Material(NamedTuple):
    """The input for an odd line: an identity, a time in seconds since 1970, and the ordinary line before it."""

    identity: str
    t: int
    before: str


Maker: TypeAlias = Callable[[Material], str]


class Kind(NamedTuple):
    """A kind of odd line, and its number in each `PERIOD` lines."""

    times: int
    make: Maker


def _view(who: str, fields: str, t: int) -> str:
    return f'{{"_n":"page view",{fields},"_p":"{who}","_t":{t}}}'


def _duplicate(material: Material) -> str:
    return material.before


def _invalid_octal(material: Material) -> str:
    # The trade mark sign in Windows-1252, which is not valid UTF-8.
    return f'{{"nickname":"Sea Breeze\\231","_p":"{material.identity}","_t":{material.t}}}'


def _backslash(material: Material) -> str:
    # A reader that does not count backslashes takes \\201 for an octal escape.
    url = "https://www.example.com/import?chart=C:\\\\Charts\\\\2013-2014"
    return _view(material.identity, f'"viewed url":"{url}"', material.t)


def _octal_quote(material: Material) -> str:
    return f'{{"boat name":"The \\042Limpet\\042","_p":"{material.identity}","_t":{material.t}}}'


def _raw_utf8(material: Material) -> str:
    return f'{{"city":"Malmö","_p":"{material.identity}","_t":{material.t}}}'


def _carriage_return(material: Material) -> str:
    return _view(material.identity, '"viewed url":"https://www.example.com/tides"', material.t) + "\r"


def _blank(_: Material) -> str:
    return ""


def _cut_off(material: Material) -> str:
    return material.before[: len(material.before) // 2]


def _no_timestamp(material: Material) -> str:
    return f'{{"_n":"page view","viewed url":"https://www.example.com/map","_p":"{material.identity}"}}'


def _empty_identity(material: Material) -> str:
    return _view("", '"viewed url":"https://www.example.com/prices"', material.t)


def _alias_and_event(material: Material) -> str:
    other = anonymous_id(roll(material.identity))
    return f'{{"_p2":"{other}","_n":"page view","_p":"{material.identity}","_t":{material.t}}}'


def _self_alias(material: Material) -> str:
    return f'{{"_p2":"{material.identity}","_p":"{material.identity}","_t":{material.t}}}'


def _number(material: Material) -> str:
    return _view(material.identity, '"scroll depth":0.75', material.t)


def _late(material: Material) -> str:
    late = material.t - 320 * 86_400
    return _view(material.identity, '"viewed url":"https://www.example.com/reviews"', late)


def _mobile(material: Material) -> str:
    fields = f'"_c":"mobile_app","_server_timestamp":{material.t + 4}'
    return _view(material.identity, fields, material.t)


KINDS: dict[str, Kind] = {
    "duplicate": Kind(3, _duplicate),
    "invalid_octal": Kind(1, _invalid_octal),
    "backslash": Kind(1, _backslash),
    "octal_quote": Kind(1, _octal_quote),
    "raw_utf8": Kind(1, _raw_utf8),
    "carriage_return": Kind(1, _carriage_return),
    "blank": Kind(1, _blank),
    "cut_off": Kind(1, _cut_off),
    "no_timestamp": Kind(1, _no_timestamp),
    "empty_identity": Kind(1, _empty_identity),
    "alias_and_event": Kind(1, _alias_and_event),
    "self_alias": Kind(1, _self_alias),
    "number": Kind(1, _number),
    "late": Kind(1, _late),
    "mobile": Kind(1, _mobile),
}
"""All kinds by name, with their rates."""

# 37 and 1000 have no common divisor, so the places differ and are spread out.
_ORDER = [kind.make for kind in KINDS.values() for _ in range(kind.times)]
PLACES: dict[int, Maker] = {(7 + 37 * place) % PERIOD: make for place, make in enumerate(_ORDER)}
"""The maker for each remainder of the running line number."""


def places_of(number: int, lines: int) -> Iterator[tuple[int, Maker]]:
    """Yield the odd lines of a revision, ascending.

    Args:
        number: The revision.
        lines: The number of lines of each revision.

    Yields:
        The index of the line, from 0, and its maker.
    """
    before = (number - 1) * lines + 1
    for line in range(lines):
        make = PLACES.get((before + line) % PERIOD)
        if make is not None:
            yield line, make

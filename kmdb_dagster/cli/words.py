"""Text of others on its way to a terminal, which would take some characters for orders."""

import re

_ORDERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, also those of 8 bits, but for the newline; and those that turn the direction of writing."""


def harmless(text: str) -> str:
    """The same, with such characters as JSON and Python write them: ``\\u001b``."""
    return _ORDERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

"""Write lines as KM does: octal escapes, varying order of fields, no spaces."""

from typing import TypeAlias

from kmdb_dagster.sample.clock import received

Entries: TypeAlias = list[tuple[int, str]]
"""Lines, each with its receipt time in seconds since 1970."""


def escaped(text: str) -> str:
    r"""Escape a value for a JSON string as KM does: bytes outside ASCII as C-style octal (``\303\241``)."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in quoted.encode())


def line_of(fields: tuple[str, ...], t: int, turn: int) -> str:
    """Return a line: the fields, rotated by ``turn``, then the time.

    Args:
        fields: JSON members as text.
        t: the time in seconds since 1970.
        turn: how far the fields are rotated; KM's order is not fixed either.
    """
    cut = turn % len(fields)
    return "{" + ",".join(fields[cut:] + fields[:cut]) + f',"_t":{t}}}'


class Session:
    """Consecutive lines of one identity.

    Args:
        entries: The list that lines are appended to.
        identity: The identity, as KM writes it.
        t: The time of the first line, in seconds since 1970.
        dice: 64 random bytes, for pauses (3 to 46 s) and the order of fields.
    """

    __slots__ = ("_dice", "_entries", "_rolled", "identity", "t")

    def __init__(self, entries: Entries, identity: str, t: int, dice: bytes) -> None:
        self._entries = entries
        self._dice = dice
        self._rolled = 0
        self.identity = identity
        self.t = t

    def event(self, name: str, *fields: str) -> None:
        """Append an event and advance the time."""
        self._put((*fields, f'"_n":"{name}"', f'"_p":"{self.identity}"'))

    def properties(self, *fields: str) -> None:
        """Append a property set and advance the time."""
        self._put((*fields, f'"_p":"{self.identity}"'))

    def alias(self, one: str, other: str, *, times: int = 1) -> None:
        """Append an alias line at the current time. Repeat it a second apart, as KM's library does.

        Args:
            one: the identity in ``_p``.
            other: the identity in ``_p2``.
            times: how often the line is written.
        """
        for repeat in range(times):
            t = self.t + repeat
            self._entries.append((received(t), f'{{"_p2":"{other}","_p":"{one}","_t":{t}}}'))

    def _put(self, fields: tuple[str, ...]) -> None:
        turn = self._dice[self._rolled & 63]
        self._rolled += 1
        self._entries.append((received(self.t), line_of(fields, self.t, turn)))
        self.t += 3 + turn % 44

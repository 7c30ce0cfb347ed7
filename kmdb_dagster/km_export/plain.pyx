# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=True
r"""The fast path: plain lines, compiled (docs/decisions/0013). What it may not decide, it leaves to the careful path.

A plain line is a JSON object of strings and whole numbers, as KM writes nearly all of them, perhaps with octal escapes.
Whatever is read here, ``fields`` and ``lenient`` read in the same way: they are the reference, and tests and the fuzzer
hold the two together. So "not plain" is always a right answer, and the one to give when in doubt.

Lines come from anybody. Every access to memory goes through a typed memoryview whose bounds are checked: a mistake here
is an IndexError and no more. Do not switch that off, and use no pointers. Functions that say whether something is plain
return 1 or 0; -1 is an exception.
"""

from array import array

from kmdb_dagster.km_export import fields
from kmdb_dagster.km_export.columns import Columns, Texts

cdef long long MAX_T = fields.MAX_T

cdef Py_ssize_t MOST_PROPERTIES = 100  # each is compared with all before it, which grows by the square

cdef bytes PAIRS = b'/"\\nrtbf', MEANT = b'/"\\\n\r\t\b\f'

cdef enum:  # the system fields, as bits
    IDENTITY = 1
    TIME = 2
    NAME = 4
    ALIAS = 8


cdef class Scanner:
    """Reads the plain lines of blocks. Holds the columns in the making; they are used again for each block."""

    cdef const unsigned char[::1] text
    cdef Py_ssize_t at  # of the next byte of the text
    cdef Py_ssize_t lines  # that are read
    cdef int seen  # the system fields of this line
    cdef _Column identities, names, aliases, keys, values
    cdef tuple columns  # the same
    cdef list numbers  # the places of values that were written as numbers
    cdef object held_times, held_counts
    cdef long long[::1] times
    cdef int[::1] counts

    def __cinit__(self, Py_ssize_t size):
        """For blocks of so many bytes."""
        self.columns = tuple([_Column(size) for _ in range(5)])
        self.identities, self.names, self.aliases, self.keys, self.values = self.columns
        # The shortest plain line has 23 bytes.
        self.held_times, self.held_counts = array("q", bytes(size // 8 * 8)), array("i", bytes(size // 4 * 4))
        self.times, self.counts = self.held_times, self.held_counts

    def read(self, bytes text not None, Py_ssize_t at, int number):
        """Reads lines for as long as they are plain.

        Args:
            text: Lines, each with its newline. If it is longer than the scanner is for, nothing of it is read.
            at: Where the first of them begins.
            number: Its number in the file.

        Returns:
            What they say, and where the first line begins that was not read: the end of the text if there is none.
        """
        cdef _Column column
        self.text, self.at, self.lines, self.numbers = text, at, 0, []
        for column in self.columns:
            column.clear()
        if len(text) <= self.values.data.shape[0]:
            while at < len(text) and self._line():
                at = self.at
                self.lines += 1
                for column in self.columns:
                    column.keep()
        return Columns(
            number, self.held_times[: self.lines], self.identities.texts(), self.names.texts(), self.aliases.texts(),
            self.held_counts[: self.lines], self.keys.texts(), self.values.texts(),
            [place for place in self.numbers if place < self.values.kept],
        ), at

    cdef int _line(self) except -1:
        cdef int after = c','
        self.seen = 0
        if self._token() != c'{':
            return 0
        while after == c',':
            if not self._member():
                return 0
            after = self._token()
        return after == c'}' and self._token() == c'\n' and self._is_whole()

    cdef int _token(self) except -1:
        """The next byte that is no blank. A newline is none, so that nothing runs past the end of a line."""
        cdef unsigned char byte = c' '
        while byte == c' ' or byte == c'\t' or byte == c'\r':
            byte = self.text[self.at]
            self.at += 1
        return byte

    cdef int _is_whole(self) except -1:
        """Whether the line is an event, a property set, or an alias and no more. Notes what it has not."""
        cdef Py_ssize_t properties = self.keys.count - self.keys.kept
        cdef bint named = self.seen & NAME != 0, tied = self.seen & ALIAS != 0, says_more = named or properties > 0
        if self.seen & (IDENTITY | TIME) != IDENTITY | TIME or tied == says_more:
            return 0
        if not named:
            self.names.add_none()
        if not tied:
            self.aliases.add_none()
        self.counts[self.lines] = <int> properties
        return 1

    cdef int _member(self) except -1:
        if not self._string(self.keys) or self._token() != c':':
            return 0
        cdef int field = self._field()
        if self.seen & field:
            return 0
        self.seen |= field
        if field == TIME:
            return self._time()
        if field == NAME:
            return self._string(self.names) and self.names.length > 0 and self.names.add()
        if field == IDENTITY:
            return self._string(self.identities) and self.identities.shows() and self.identities.add()
        if field == ALIAS:
            return self._string(self.aliases) and self.aliases.shows() and self.aliases.add()
        return self._is_new() and self.keys.add() and self._value() and self.values.add()

    cdef int _value(self) except -1:
        """Reads the value of a property."""
        cdef int begins = self._token()
        self.at -= 1
        if begins == c'"':
            return self._string(self.values)
        self.numbers.append(self.values.count)
        return self._number(self.values)

    cdef int _field(self) except -1:
        """Which system field the open key is; 0 if it is a property."""
        cdef Py_ssize_t at = self.keys.used, length = self.keys.length
        if length < 2 or length > 3 or self.keys.data[at] != c'_':
            return 0
        cdef unsigned char letter = self.keys.data[at + 1]
        if length == 3:
            return ALIAS if letter == c'p' and self.keys.data[at + 2] == c'2' else 0
        return IDENTITY if letter == c'p' else TIME if letter == c't' else NAME if letter == c'n' else 0

    cdef int _is_new(self) except -1:
        """Whether the open key is none of those that the line has already."""
        cdef Py_ssize_t at = self.keys.used, number = self.keys.count
        if number - self.keys.kept >= MOST_PROPERTIES:
            return 0
        while number > self.keys.kept:
            number -= 1
            at -= self.keys.lengths[number]
            if self.keys.lengths[number] == self.keys.length and self.keys.repeats(at):
                return 0
        return 1

    cdef int _time(self) except -1:
        cdef _Column key = self.keys  # which is done with: the digits may take its place
        cdef long long t = 0
        if not self._number(key) or key.length > 12:
            return 0
        for at in range(key.used, key.used + key.length):
            t = 10 * t + key.data[at] - c'0'
        self.times[self.lines] = t
        return 0 < t <= MAX_T

    cdef int _number(self, _Column column) except -1:
        """Reads a whole number, without a sign, as it is written. Any other number is cut short, and not plain."""
        cdef int byte = self._token(), first = byte
        column.length = 0
        while c'0' <= byte <= c'9':
            column.put(byte)
            byte = self.text[self.at]
            self.at += 1
        self.at -= 1  # what ended it is still to be read
        return column.length == 1 or column.length > 1 and first != c'0'

    cdef int _string(self, _Column column) except -1:
        """Reads a string into a column, where it stays open: `add` makes it the next text."""
        if self._token() != c'"':
            return 0
        # As local variables these cost half of the time.
        cdef const unsigned char[::1] text = self.text
        cdef unsigned char[::1] data = column.data
        cdef Py_ssize_t at = self.at, end = column.used
        cdef unsigned char byte = text[at], bits = 0
        while byte != c'"':
            at += 1
            if byte == c'\\':
                self.at, column.length = at, end - column.used
                if not self._escape(column):
                    return 0
                at, end = self.at, column.used + column.length
                bits = 0x80
            elif byte < c' ':  # also the newline: no string reaches beyond its line
                return 0
            else:
                data[end] = byte
                end += 1
                bits |= byte
            byte = text[at]
        self.at, column.length = at + 1, end - column.used
        return bits < 0x80 or column.is_utf8()

    cdef int _escape(self, _Column column) except -1:
        """Reads what stands behind a backslash. NUL and pairs that mean nothing are not plain."""
        cdef unsigned char byte = self.text[self.at]
        cdef int code, place
        self.at += 1
        if byte == c'u':
            code = self._code_point()
            return code > 0 and column.put_character(code)
        if c'0' <= byte <= c'3':
            self.at -= 1
            code = self._digits(3, 8)
            return code > 0 and column.put(code)
        for place in range(len(PAIRS)):
            if PAIRS[place] == byte:
                return column.put(MEANT[place])
        return 0

    cdef int _code_point(self) except -2:
        """The character of one or two ``\\u``; -1 if they are none."""
        cdef int low, code = self._digits(4, 16)
        if not 0xD800 <= code <= 0xDFFF:
            return code
        if code > 0xDBFF or self.text[self.at] != c'\\' or self.text[self.at + 1] != c'u':
            return -1
        self.at += 2
        low = self._digits(4, 16)
        return 0x10000 + ((code & 0x3FF) << 10 | low & 0x3FF) if 0xDC00 <= low <= 0xDFFF else -1

    cdef int _digits(self, int count, int base) except -2:
        """The number that so many digits are; -1 if they are no digits."""
        cdef int digit, value = 0
        cdef unsigned char byte
        for _ in range(count):
            byte = self.text[self.at]
            digit = (
                byte - c'0' if c'0' <= byte <= c'9' else byte - c'a' + 10 if c'a' <= byte <= c'f'
                else byte - c'A' + 10 if c'A' <= byte <= c'F' else base
            )
            if digit >= base:
                return -1
            self.at += 1
            value = value * base + digit
        return value


cdef class _Column:
    """Texts, and at their end an open one. What is not kept, as of half a line, is not handed out."""

    cdef object held_data, held_lengths
    cdef unsigned char[::1] data
    cdef int[::1] lengths
    cdef Py_ssize_t used, length  # the bytes of all texts, and of the open one behind them
    cdef Py_ssize_t count, kept, kept_bytes

    def __cinit__(self, Py_ssize_t size):
        # No text is longer than what it was written as, and a key with its value takes 5 bytes or more.
        self.held_data, self.held_lengths = bytearray(size), array("i", bytes(size // 4 * 4))
        self.data, self.lengths = self.held_data, self.held_lengths

    cdef void clear(self) noexcept:
        self.used = self.count = self.kept = self.kept_bytes = 0

    cdef void keep(self) noexcept:
        self.kept, self.kept_bytes = self.count, self.used

    cdef object texts(self):
        return Texts(self.held_data[: self.kept_bytes], self.held_lengths[: self.kept])

    cdef int add(self) except -1:
        """The open text is the next one."""
        self.lengths[self.count] = <int> self.length
        self.count += 1
        self.used += self.length
        return 1

    cdef int add_none(self) except -1:
        self.lengths[self.count] = -1
        self.count += 1
        return 1

    cdef int put(self, unsigned char byte) except -1:
        self.data[self.used + self.length] = byte
        self.length += 1
        return 1

    cdef int put_character(self, int code) except -1:
        """As UTF-8."""
        cdef int more = 0 if code < 0x80 else 1 if code < 0x800 else 2 if code < 0x10000 else 3
        self.put((0xFF00 >> more + 1 if more else 0) | code >> 6 * more)
        while more > 0:
            more -= 1
            self.put(0x80 | code >> 6 * more & 0x3F)
        return 1

    cdef int repeats(self, Py_ssize_t at) except -1:
        """Whether the open text is what stands at a place before it."""
        cdef Py_ssize_t place
        for place in range(self.length):
            if self.data[at + place] != self.data[self.used + place]:
                return 0
        return 1

    cdef int shows(self) except -1:
        """Whether the open text has a character of ASCII that is no blank. Which others are blanks, Python knows."""
        cdef Py_ssize_t at
        for at in range(self.used, self.used + self.length):
            if c' ' < self.data[at] < 0x80:
                return 1
        return 0

    cdef int is_utf8(self) except -1:
        """Whether the open text is: the shortest form of each character, and no halves of surrogate pairs."""
        cdef Py_ssize_t at = self.used, end = self.used + self.length
        cdef int lead, code, more
        while at < end:
            lead = self.data[at]
            at += 1
            if lead < 0x80:
                continue
            more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
            if lead < 0xC2 or end - at < more:
                return 0
            code = lead & 0x3F >> more
            for at in range(at, at + more):
                if self.data[at] & 0xC0 != 0x80:
                    return 0
                code = code << 6 | self.data[at] & 0x3F
            at += 1
            if more == 2 and (code < 0x800 or 0xD800 <= code <= 0xDFFF):
                return 0
            if more == 3 and (code < 0x10000 or code > 0x10FFFF or lead > 0xF4):
                return 0
        return 1

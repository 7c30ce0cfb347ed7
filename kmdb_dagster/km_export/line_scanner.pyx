# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=True
r"""Read plain lines, compiled: the fast path (docs/decisions/0013). All other lines are left to the careful path.

A plain line is a JSON object of strings and whole numbers, perhaps with octal escapes. KM writes nearly all lines so.
``lenient_json`` and ``fields`` read every plain line in the same way: they are the reference, and tests and the fuzzer
compare the two. "Not plain" is therefore always a correct result: return it when in doubt.

Lines are untrusted. Every memory access uses a typed memoryview with bounds checks, so a defect raises IndexError.
Keep the checks on, and use no pointers. Functions that test for plainness return 1 or 0; -1 is an exception.
"""

from array import array

from kmdb_dagster.km_export import fields
from kmdb_dagster.km_export.columns import Columns, Texts

cdef long long MAX_T = fields.MAX_T

cdef Py_ssize_t MAX_PROPERTIES = 100  # each is compared with all before it: quadratic time

cdef bytes PAIRS = b'/"\\nrtbf', MEANT = b'/"\\\n\r\t\b\f'

cdef enum:  # the system fields, as bits
    IDENTITY = 1
    TIME = 2
    NAME = 4
    ALIAS = 8


cdef class Scanner:
    """Read the plain lines of blocks. The buffers of the columns are reused for each block."""

    cdef const unsigned char[::1] text
    cdef Py_ssize_t at  # index of the next byte of the text
    cdef Py_ssize_t lines  # how many are read
    cdef int seen  # the system fields of this line
    cdef _Column identities, names, aliases, keys, values
    cdef tuple columns  # the same
    cdef list numbers  # the indexes of values that are JSON numbers
    cdef object held_times, held_counts
    cdef long long[::1] times
    cdef int[::1] counts

    def __cinit__(self, Py_ssize_t size):
        """Allocate buffers for blocks of at most ``size`` bytes."""
        self.columns = tuple([_Column(size) for _ in range(5)])
        self.identities, self.names, self.aliases, self.keys, self.values = self.columns
        # The shortest plain line has 23 bytes.
        self.held_times, self.held_counts = array("q", bytes(size // 8 * 8)), array("i", bytes(size // 4 * 4))
        self.times, self.counts = self.held_times, self.held_counts

    def read(self, bytes text not None, Py_ssize_t at, int number):
        """Read lines up to the first that is not plain.

        Args:
            text: Lines, each with its newline. Nothing is read if it is longer than the buffers.
            at: The index of the first line.
            number: The line number of the first line.

        Returns:
            The records as columns, and the index of the first line that is not read, or the end of the text.
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
        """Return the next byte that is not a blank. A newline is not a blank, so reading stops at the end of a line."""
        cdef unsigned char byte = c' '
        while byte == c' ' or byte == c'\t' or byte == c'\r':
            byte = self.text[self.at]
            self.at += 1
        return byte

    cdef int _is_whole(self) except -1:
        """Test that the line is one event, property set or alias. Fill the columns that it leaves empty."""
        cdef Py_ssize_t properties = self.keys.count - self.keys.kept
        cdef bint named = self.seen & NAME != 0, has_alias = self.seen & ALIAS != 0, has_more = named or properties > 0
        if self.seen & (IDENTITY | TIME) != IDENTITY | TIME or has_alias == has_more:
            return 0
        if not named:
            self.names.add_none()
        if not has_alias:
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
        """Read the value of a property."""
        cdef int begins = self._token()
        self.at -= 1
        if begins == c'"':
            return self._string(self.values)
        self.numbers.append(self.values.count)
        return self._number(self.values)

    cdef int _field(self) except -1:
        """Return the system field of the open key, 0 for a property."""
        cdef Py_ssize_t at = self.keys.used, length = self.keys.length
        if length < 2 or length > 3 or self.keys.data[at] != c'_':
            return 0
        cdef unsigned char letter = self.keys.data[at + 1]
        if length == 3:
            return ALIAS if letter == c'p' and self.keys.data[at + 2] == c'2' else 0
        return IDENTITY if letter == c'p' else TIME if letter == c't' else NAME if letter == c'n' else 0

    cdef int _is_new(self) except -1:
        """Test that the line has no earlier key like the open one."""
        cdef Py_ssize_t at = self.keys.used, number = self.keys.count
        if number - self.keys.kept >= MAX_PROPERTIES:
            return 0
        while number > self.keys.kept:
            number -= 1
            at -= self.keys.lengths[number]
            if self.keys.lengths[number] == self.keys.length and self.keys.repeats(at):
                return 0
        return 1

    cdef int _time(self) except -1:
        cdef _Column key = self.keys  # no longer needed: its buffer takes the digits
        cdef long long t = 0
        if not self._number(key) or key.length > 12:
            return 0
        for at in range(key.used, key.used + key.length):
            t = 10 * t + key.data[at] - c'0'
        self.times[self.lines] = t
        return 0 < t <= MAX_T

    cdef int _number(self, _Column column) except -1:
        """Read an unsigned whole number as it is written. The rest of any other number makes the line not plain."""
        cdef int byte = self._token(), first = byte
        column.length = 0
        while c'0' <= byte <= c'9':
            column.put(byte)
            byte = self.text[self.at]
            self.at += 1
        self.at -= 1  # the byte after the number is not consumed
        return column.length == 1 or column.length > 1 and first != c'0'

    cdef int _string(self, _Column column) except -1:
        """Read a string into a column as its open text. `add` appends it."""
        if self._token() != c'"':
            return 0
        # Local variables: attributes would take twice the time.
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
            elif byte < c' ':  # also the newline, so a string ends with its line
                return 0
            else:
                data[end] = byte
                end += 1
                bits |= byte
            byte = text[at]
        self.at, column.length = at + 1, end - column.used
        return bits < 0x80 or column.is_utf8()

    cdef int _escape(self, _Column column) except -1:
        """Read the escape after a backslash. NUL and unknown escapes are not plain."""
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
        """Return the character of one or two ``\\u``, -1 if they are invalid."""
        cdef int low, code = self._digits(4, 16)
        if not 0xD800 <= code <= 0xDFFF:
            return code
        if code > 0xDBFF or self.text[self.at] != c'\\' or self.text[self.at + 1] != c'u':
            return -1
        self.at += 2
        low = self._digits(4, 16)
        return 0x10000 + ((code & 0x3FF) << 10 | low & 0x3FF) if 0xDC00 <= low <= 0xDFFF else -1

    cdef int _digits(self, int count, int base) except -2:
        """Return the number of ``count`` digits, -1 if any is not a digit of the base."""
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
    """A column of texts with an open one at its end. Only kept texts are returned, so none of an incomplete line."""

    cdef object held_data, held_lengths
    cdef unsigned char[::1] data
    cdef int[::1] lengths
    cdef Py_ssize_t used, length  # bytes of all texts, and of the open one after them
    cdef Py_ssize_t count, kept, kept_bytes

    def __cinit__(self, Py_ssize_t size):
        # A text is never longer than its JSON, and a key with its value takes at least 5 bytes.
        self.held_data, self.held_lengths = bytearray(size), array("i", bytes(size // 4 * 4))
        self.data, self.lengths = self.held_data, self.held_lengths

    cdef void clear(self) noexcept:
        self.used = self.count = self.kept = self.kept_bytes = 0

    cdef void keep(self) noexcept:
        self.kept, self.kept_bytes = self.count, self.used

    cdef object texts(self):
        return Texts(self.held_data[: self.kept_bytes], self.held_lengths[: self.kept])

    cdef int add(self) except -1:
        """Append the open text."""
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
        """Append a character to the open text, as UTF-8."""
        cdef int more = 0 if code < 0x80 else 1 if code < 0x800 else 2 if code < 0x10000 else 3
        self.put((0xFF00 >> more + 1 if more else 0) | code >> 6 * more)
        while more > 0:
            more -= 1
            self.put(0x80 | code >> 6 * more & 0x3F)
        return 1

    cdef int repeats(self, Py_ssize_t at) except -1:
        """Test that the open text equals the bytes at ``at``."""
        cdef Py_ssize_t place
        for place in range(self.length):
            if self.data[at + place] != self.data[self.used + place]:
                return 0
        return 1

    cdef int shows(self) except -1:
        """Test for an ASCII character that is not a blank. Other blanks are left to the careful path."""
        cdef Py_ssize_t at
        for at in range(self.used, self.used + self.length):
            if c' ' < self.data[at] < 0x80:
                return 1
        return 0

    cdef int is_utf8(self) except -1:
        """Test for valid UTF-8: shortest forms only, and no surrogates."""
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

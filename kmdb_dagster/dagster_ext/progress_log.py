"""Log lines on the progress of long work, few enough to read."""

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 10.0


class ProgressLog:
    """Logs the first step of each kind of work, the last one, and one every ten seconds."""

    def __init__(self, log: Callable[[str], object]) -> None:
        self._log = log
        self._what = ""
        self._last = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        """Log the progress if a line is due.

        Args:
            what: the kind of work.
            done: how many units are done.
            of: how many units there are; 0 if unknown.
        """
        if what != self._what or time.monotonic() - self._last > SECONDS_BETWEEN_LINES or done == of:
            self._log(f"{what}: {done:,}" + (f" of {of:,}" if of else ""))
            self._what, self._last = what, time.monotonic()

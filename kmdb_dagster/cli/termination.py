"""How a command ends at SIGTERM and Ctrl-C while a library computes: at once, with its temporary files deleted."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODE_BASE = 128
"""A shell's exit code for a signal is this and the number of the signal."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def exit_at_signals(clean_up: Callable[[], None]) -> Iterator[None]:
    """Exit at SIGTERM or SIGINT, after ``clean_up``. Use in the main thread only.

    Python runs signal handlers between two of its own instructions, so a query in DuckDB or in the driver would run to
    its end first. A thread that reads the wake-up file descriptor learns of the signal at once.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    handlers = {number: signal.signal(number, _ignore) for number in SIGNALS}
    thread = threading.Thread(target=_wait, args=(reader, clean_up), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()
        os.close(reader)


def _ignore(_number: int, _frame: object) -> None:
    """Take the place of the default action. The thread exits."""


def _wait(reader: int, clean_up: Callable[[], None]) -> None:
    while received := os.read(reader, 1):
        if received[0] in SIGNALS:
            clean_up()
            os._exit(EXIT_CODE_BASE + received[0])

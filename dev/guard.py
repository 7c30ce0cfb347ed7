"""Ends a process when the one that started it is gone. `dev.processes.spawn` starts this beside each process.

A test run that is interrupted or killed runs no teardown: pytest-xdist kills its workers. A parent-death signal
(PR_SET_PDEATHSIG) would not do, because it is sent at the end of the thread that started the process.
"""

import os
import select
import sys

from dev.processes import Process, alive, end


def main() -> None:
    """Wait until the starter or the process ends, then end the process with its children."""
    starter_pid, starter_started, pid, started = map(int, sys.argv[1:])
    starter, process = Process(starter_pid, starter_started), Process(pid, started)
    _wait_for_one(starter, process)
    if not alive(starter):
        end(process)


def _wait_for_one(*processes: Process) -> None:
    ends = select.poll()
    for process in processes:
        try:
            ends.register(os.pidfd_open(process.pid), select.POLLIN)
        except ProcessLookupError:
            return
    if all(map(alive, processes)):  # a pid may have been reused before it was opened
        ends.poll()


if __name__ == "__main__":
    main()

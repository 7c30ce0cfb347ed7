"""The operating system's process of a run on this machine, distinguished from later processes with the same id.

It reads /proc, so it finds no process on systems without it (macOS).
"""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

CLOCK_TOLERANCE_SECONDS = 60.0
"""How far the clock may be set forward between a run's start and the first check of its process."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RunProcess(NamedTuple):
    """A process, identified until the machine restarts. Ids are reused, start times are not."""

    run_id: str
    boot_id: str
    pid: int
    started_ticks: int
    """Kernel ticks from boot to the start of the process. No clock change affects them."""

    @classmethod
    def find(cls, run_id: str, pid: int, known_at: float) -> "RunProcess | None":
        """Find the process that had this id at a time (seconds since 1970); None if it has ended.

        Args:
            run_id: the id of the run.
            pid: the process id that the run reported.
            known_at: when it was reported, in seconds since 1970.
        """
        ticks = _started_ticks(pid)
        if ticks is None or _seconds_since_1970(ticks) > known_at + CLOCK_TOLERANCE_SECONDS:
            return None
        return cls(run_id, _boot_id(), pid, ticks)

    @classmethod
    def from_tag(cls, text: str | None, run_id: str) -> "RunProcess | None":
        """Read it from a tag of the run; None if the tag is missing, or was copied from the run before a retry."""
        try:
            found = cls(**json.loads(text or "null"))
        except (TypeError, ValueError):
            return None
        return found if found.run_id == run_id else None

    def as_tag(self) -> str:
        """Write it as a tag."""
        return json.dumps(self._asdict())

    def is_alive(self) -> bool:
        """Return whether it still runs. A zombie, which its parent has not collected, does not."""
        return self.boot_id == _boot_id() and _started_ticks(self.pid) == self.started_ticks


def is_supported() -> bool:
    """Return whether processes can be found on this machine."""
    return BOOT_ID.exists()


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()


def _started_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, which may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(fields[18])


def _seconds_since_1970(ticks: int) -> float:
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")

"""The interface of all faults."""

import random
from collections.abc import Mapping
from typing import ClassVar

from faults.imports import NO_LIMITS, Import, Limits, Outcome
from faults.site import Site


class Fault:
    """A fault is armed before a run, struck in a moment of the run, and repaired after it."""

    name: ClassVar[str]
    in_a_moment: ClassVar[bool] = True
    """Whether it strikes in a moment; if not, it waits in the servers for the run to come along."""
    says: ClassVar[str] = ""
    """What a run that it ends must say."""
    again: ClassVar[bool] = False
    """Whether the import is started again even where the run got over it."""
    resumes: ClassVar[bool] = False
    """Whether that imports only what the ledger lacks, the last revision first: names then get ids in another order."""
    in_short: ClassVar[bool] = True
    """Whether the short form has it."""
    limits: ClassVar[Limits] = NO_LIMITS

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self.chance = chance

    def settings(self) -> Mapping[str, str]:
        """Return the settings of the run that this fault changes."""
        return {}

    def arm(self) -> None:
        """Prepare the fault before the run."""

    def strike(self, run: Import) -> None:
        """Strike, while the run is paused."""

    def repair(self) -> None:
        """Undo the fault after the run has ended."""

    def happened(self, outcome: Outcome) -> bool:
        """Return whether the fault affected the run."""
        raise NotImplementedError

    def complaint(self, outcome: Outcome) -> str:
        """Return what is wrong after the run, before the import is started again."""
        del outcome
        return ""

    def remark(self) -> str:
        """Return what the round did to the data, for the log."""
        return ""

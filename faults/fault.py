"""What a fault is: the one interface of all kinds."""

import random
from collections.abc import Mapping
from typing import ClassVar

from faults.imports import NO_LIMITS, Import, Limits, Outcome
from faults.site import Site


class Fault:
    """Armed before a run begins, struck in a moment of it, mended when it has ended."""

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
        """Settings of the run that are others because of it."""
        return {}

    def arm(self) -> None:
        """Make ready."""

    def strike(self, run: Import) -> None:
        """Strike. The run stands still meanwhile."""

    def repair(self) -> None:
        """Put everything right again; the run has ended."""

    def happened(self, outcome: Outcome) -> bool:
        """Whether the run really met it."""
        raise NotImplementedError

    def complaint(self, outcome: Outcome) -> str:
        """Say what is wrong after the run, before the import is started again."""
        del outcome
        return ""

    def remark(self) -> str:
        """Say what the round did to the data, for a person who reads along."""
        return ""

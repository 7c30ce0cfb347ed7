"""What happens to the files: in the bucket, on the way from it, in the lake."""

import random
import resource
from collections.abc import Callable
from typing import ClassVar

from faults.export import REVISIONS, version
from faults.fault import Fault
from faults.gateway import Answer, refusal
from faults.imports import Import, Outcome
from faults.site import Site

FOR_EVER = 1_000_000
SECOND = version(2)


class InTheGateway(Fault):
    """Answers of S3 that are others."""

    in_a_moment = False

    def mend(self) -> None:
        self.acted = self.site.gateway.acted
        self.site.gateway.disarm()

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.acted > 0


class Refused(InTheGateway):
    """S3 refuses a request, a few times."""

    answer: ClassVar[tuple[int, str]]

    def arm(self) -> None:
        # Two requests for each revision.
        self.site.gateway.arm(
            refusal(*self.answer), self.chance.randint(1, 2 * len(REVISIONS)), self.chance.randint(1, 3)
        )


class InternalError(Refused):
    """500."""

    name = "S3: 500 InternalError"
    answer = (500, "InternalError")


class SlowDown(Refused):
    """503."""

    name = "S3: 503 SlowDown"
    answer = (503, "SlowDown")


class AccessDenied(InTheGateway):
    """S3 refuses everything from some request on, until somebody mends the policy."""

    name = "S3: access denied"
    says = "access denied"

    def arm(self) -> None:
        self.site.gateway.arm(refusal(403, "AccessDenied"), self.chance.randint(1, 2 * len(REVISIONS)), FOR_EVER)


class WhileRead(InTheGateway):
    """Something happens to the object of one revision while it is read."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        super().__init__(site, chance)
        self.revision = chance.choice(REVISIONS)
        self.cut = chance.randrange(len(SECOND[self.revision]) // 2)

    def arm(self) -> None:
        # A revision is read by one GET.
        self.site.gateway.arm(self.act, self.revision - REVISIONS[0] + 1, 1, {"GET"})

    def act(self, forward: Callable[[], Answer]) -> Answer:
        """What to answer."""
        raise NotImplementedError


class Truncated(WhileRead):
    """The body breaks off."""

    name = "S3: body truncated"

    def act(self, forward: Callable[[], Answer]) -> Answer:
        return forward()._replace(cut=self.cut)


class Damaged(WhileRead):
    """One bit of the body arrives flipped."""

    name = "S3: one bit of a body flipped"

    def act(self, forward: Callable[[], Answer]) -> Answer:
        answer = forward()
        flipped = bytes([answer.body[self.cut] ^ 1])
        return answer._replace(body=answer.body[: self.cut] + flipped + answer.body[self.cut + 1 :])


class Changed(WhileRead):
    """The object is replaced while it is read."""

    name = "S3: ETag changed in mid-read"

    def arm(self) -> None:
        whole = SECOND[self.revision]
        # The half that has the cut in it: other bytes, and no other names.
        self.site.upload({self.revision: whole[: whole.index(b"\n", self.cut) + 1]})
        super().arm()

    def act(self, forward: Callable[[], Answer]) -> Answer:
        answer = forward()._replace(cut=self.cut)
        self.site.upload({self.revision: SECOND[self.revision]})
        return answer


class Vanished(WhileRead):
    """The object is gone when it is to be read, and comes back later."""

    name = "S3: object vanished"
    says = "is no longer there"
    again = True

    def act(self, forward: Callable[[], Answer]) -> Answer:
        self.site.remove(self.revision)
        return forward()

    def mend(self) -> None:
        super().mend()
        self.site.upload({self.revision: SECOND[self.revision]})


class DiskFull(Fault):
    """No file may grow beyond some bytes from now on: what a full disk is, for one process."""

    name = "disk full"
    says = "Make room there"

    def strike(self, run: Import) -> None:
        bytes_left = self.chance.choice([0, 1, 1000, 3000])
        hard = resource.prlimit(run.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (bytes_left, hard))

    def happened(self, outcome: Outcome) -> bool:
        return not outcome.success


KINDS: list[type[Fault]] = [InternalError, SlowDown, Truncated, Damaged, Changed, Vanished, AccessDenied, DiskFull]

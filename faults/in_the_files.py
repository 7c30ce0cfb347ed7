"""Faults of files: in the bucket, in transfer, in the lake."""

import base64
import random
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from faults.export import REVISIONS, version
from faults.fault import Fault
from faults.gateway import Answer, refusal
from faults.imports import Import, Outcome
from faults.site import Site
from kmdb_dagster.km_export.layout import revision_key
from kmdb_dagster.lake import Lake, ParsedFile

FOR_EVER = 1_000_000
SECOND = version(2)
REFUSALS_OF_ONE = ((400, "KMS.DisabledException"), (403, "InvalidObjectState"), (400, "CodeOfTomorrow"))


def damaged(answer: Answer, whole: bytes, at: int, *, with_checksum: bool) -> Answer:
    """Change one byte of an answer that has the whole object. A checksum, if it is sent, is that of the right bytes."""
    if answer.body != whole:
        return answer
    body = bytearray(whole)
    body[at] ^= 1
    checksum = base64.b64encode(zlib.crc32(whole).to_bytes(4)).decode()
    header = {"x-amz-checksum-crc32": checksum, "x-amz-checksum-type": "FULL_OBJECT"} if with_checksum else {}
    return answer._replace(headers={**answer.headers, **header}, body=bytes(body))


class InTheGateway(Fault):
    """A fault in the answers of S3."""

    in_a_moment = False

    def repair(self) -> None:
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
    in_short = False
    answer = (503, "SlowDown")


class AccessDenied(InTheGateway):
    """S3 denies all requests from one on, until an operator repairs the policy."""

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
        self.site.gateway.arm(self.act, 1, 1, {"GET"}, revision_key(self.revision))

    def act(self, forward: Callable[[], Answer]) -> Answer:
        """What to answer."""
        raise NotImplementedError


class Truncated(WhileRead):
    """The body is truncated."""

    name = "S3: body truncated"

    def act(self, forward: Callable[[], Answer]) -> Answer:
        return forward()._replace(cut=self.cut)


class Changed(WhileRead):
    """The object is replaced while it is read."""

    name = "S3: ETag changed in mid-read"

    def arm(self) -> None:
        whole = SECOND[self.revision]
        # A version with other bytes and no other names: the lines up to the cut.
        self.site.upload({self.revision: whole[: whole.index(b"\n", self.cut) + 1]})
        super().arm()

    def act(self, forward: Callable[[], Answer]) -> Answer:
        answer = forward()._replace(cut=self.cut)
        self.site.upload({self.revision: SECOND[self.revision]})
        return answer


class Vanished(WhileRead):
    """The object is missing when it is read, and exists again later."""

    name = "S3: object vanished"
    says = "is no longer there"
    again = True

    def act(self, forward: Callable[[], Answer]) -> Answer:
        self.site.remove(self.revision)
        return forward()

    def repair(self) -> None:
        super().repair()
        self.site.upload({self.revision: SECOND[self.revision]})


class DamagedOnce(WhileRead):
    """One byte of the body is changed under a correct checksum. The next read is correct."""

    name = "S3: byte damaged on the way"

    def act(self, forward: Callable[[], Answer]) -> Answer:
        return damaged(forward(), SECOND[self.revision], self.cut, with_checksum=self.chance.random() < 0.5)


class OneObject(InTheGateway):
    """One revision cannot be read; all others can."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        super().__init__(site, chance)
        self.revision = chance.choice(REVISIONS)

    def arm(self) -> None:
        self.site.gateway.arm(self.act, 1, FOR_EVER, {"GET"}, revision_key(self.revision))

    def act(self, forward: Callable[[], Answer]) -> Answer:
        """What to answer."""
        raise NotImplementedError

    def complaint(self, outcome: Outcome) -> str:
        lacking = self.site.lacking()
        if outcome.success or lacking != [self.revision]:
            return f"Revision {self.revision} could not be read; the ledger lacks {lacking}."
        return ""


class DamagedForEver(OneObject):
    """Each read of the revision returns damaged bytes."""

    name = "S3: object damaged"
    in_short = False
    says = "do not match its"

    def act(self, forward: Callable[[], Answer]) -> Answer:
        whole = SECOND[self.revision]
        return damaged(forward(), whole, self.chance.randrange(len(whole)), with_checksum=True)


class RefusedForOne(OneObject):
    """S3 refuses one object with a permanent error."""

    name = "S3: 4xx for one object"
    in_short = False
    says = "/revisions/"

    def __init__(self, site: Site, chance: random.Random) -> None:
        super().__init__(site, chance)
        self.answer = refusal(*chance.choice(REFUSALS_OF_ONE))

    def act(self, forward: Callable[[], Answer]) -> Answer:
        return self.answer(forward)


class BitFlipped(Fault):
    """A bit of a Parquet is flipped between its writing and the load."""

    name = "lake: bit flipped in a Parquet"
    says = "damaged"
    flipped = False

    def strike(self, run: Import) -> None:
        del run
        if waiting := self._parsed_and_not_loaded():
            path = self.chance.choice(waiting)
            content = bytearray(path.read_bytes())
            content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
            # In place, because the run may have the file open.
            with path.open("r+b") as file:
                file.write(content)
            self.flipped = True

    def _parsed_and_not_loaded(self) -> list[Path]:
        etags = self.site.etags()
        lake = Lake(Path(self.site.settings()["KMDB_DATA_DIR"]))
        paths = {number: lake.parsed(number) for number in self.site.lacking()}
        return [path for n, path in paths.items() if path.exists() and ParsedFile(path, n).etag == etags[n]]

    def happened(self, outcome: Outcome) -> bool:
        del outcome
        return self.flipped


class DiskFull(Fault):
    """Limit the size of files, which is a full disk for one process."""

    name = "disk full"
    says = "Make room there"

    def strike(self, run: Import) -> None:
        bytes_left = self.chance.choice([0, 1, 1000, 3000])
        hard = resource.prlimit(run.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (bytes_left, hard))

    def happened(self, outcome: Outcome) -> bool:
        return not outcome.success


KINDS: list[type[Fault]] = [
    InternalError,
    SlowDown,
    Truncated,
    Changed,
    Vanished,
    AccessDenied,
    DamagedOnce,
    DamagedForEver,
    RefusedForOne,
    BitFlipped,
    DiskFull,
]

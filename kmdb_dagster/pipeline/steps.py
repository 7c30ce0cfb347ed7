"""The four steps. Each takes what it needs from where the one before left it, and returns figures for people."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.file_formats import decompressed
from kmdb_dagster.km_export.layout import revision_key
from kmdb_dagster.km_export.reader import read_columns
from kmdb_dagster.lake import Lake, ParsedFile, RawFile, write_parsed
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.locks import writing
from kmdb_dagster.pipeline.rejection_limit import RejectionLimit
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source import Bucket, ObjectDamagedError, StoredObject
from kmdb_dagster.source.folder import CHUNK
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.revision import Tied, tie_revision
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.loading.revision import load_revision

log = logging.getLogger(__name__)

MAX_READS = 3
"""Reads of an object whose bytes arrive damaged. Damage by the network does not come at the same byte twice."""
MAX_RESOLUTIONS = 4
"""How often a load resolves its revision. Once is enough after a flush, or after commits that the server lost."""

Figures = dict[str, int | str]
"""What a step has to say of a revision. Never anything of a person."""


class Pipeline(NamedTuple):
    """Where data comes from and goes to."""

    bucket: Bucket
    lake: Lake
    warehouse: Warehouse
    batch_size: int
    keep_files: bool
    max_rejected_share: float
    numeric_apart: bool


@retry_transient
def fetch(pipeline: Pipeline, revision: int) -> Figures:
    """Copy a revision's file from the bucket, as KM wrote it."""
    raw = _fetch(pipeline, revision)
    return {"bytes": raw.size, "etag": raw.etag or "(KissMetrics never wrote this number)"}


@retry_transient
def parse(pipeline: Pipeline, revision: int) -> Figures:
    """Read every line of a revision and write them as Parquet, unless too many of them are rejected."""
    raw = _intact_copy(pipeline, revision) or _fetch(pipeline, revision)
    guard = RejectionLimit(revision, raw, pipeline.max_rejected_share)
    # Held until the forgotten identities were read again: an erasure waits for it before it searches the files.
    with writing(pipeline.lake.root):
        while True:
            redact = Redactor(pipeline.warehouse.erased_digests())
            path, told = pipeline.lake.parsed(revision), guard.numbered(read_columns(decompressed(_chunks(raw))))
            tally = write_parsed(path, revision, raw, told, check=guard, redact=redact)
            redact.extend_erasures(pipeline.warehouse.engine, numeric_apart=pipeline.numeric_apart)
            if pipeline.warehouse.erased_digests() == redact.erased.digests:
                break
    if redact.has_redacted or not pipeline.keep_files:
        pipeline.lake.drop_raw(revision)
    return {"bytes": raw.size, **tally._asdict()}


@retry_transient
def resolve(pipeline: Pipeline, revision: int) -> Figures:
    """Intern a revision's names and identities, and bring the user map up to date with its aliases."""
    tied = _resolve(pipeline, revision)
    return {"aliases": tied.aliases, "identities_moved": tied.changed}


@retry_transient
def load(pipeline: Pipeline, revision: int) -> Figures:
    """Put a revision's facts in place of those it had. If it is not resolved as it is parsed, resolve it first.

    Raises:
        PermanentError: what this step resolves disappears again and again.
    """
    for _ in range(MAX_RESOLUTIONS):
        parsed = ParsedFile(pipeline.lake.parsed(revision), revision)
        try:
            entry = load_revision(
                pipeline.warehouse.engine,
                revision,
                parsed,
                batch_size=pipeline.batch_size,
                make_redactor=Redactor,
                leftovers=pipeline.warehouse.leftover_facts,
            )
        except UnresolvedError as error:
            log.info("%s Resolving it again.", error)
            _resolve(pipeline, revision)
        else:
            figures = {name: value for name, value in entry._asdict().items() if isinstance(value, int)}
            return {**figures, "rows": entry.events + entry.properties}
    raise PermanentError(
        f"Revision {revision} was resolved {MAX_RESOLUTIONS} times, and its names or aliases were missing each time. "
        "Another process deletes from `keys`, `users`, `aliases` or `resolved_revisions`, or parses another version of "
        "the file. Stop it, then materialize events and properties of the revision."
    )


def _resolve(pipeline: Pipeline, revision: int) -> Tied:
    parsed = ParsedFile(pipeline.lake.parsed(revision), revision)
    tied = tie_revision(
        pipeline.warehouse,
        revision,
        parsed,
        batch_size=pipeline.batch_size,
        make_redactor=Redactor,
        numeric_apart=pipeline.numeric_apart,
    )
    move_facts(pipeline.warehouse.engine)
    return tied


def _intact_copy(pipeline: Pipeline, revision: int) -> RawFile | None:
    raw = pipeline.lake.raw(revision)
    if raw is None or raw.is_intact():
        return raw
    log.warning("The raw copy of revision %d was damaged on the disk. It is fetched again.", revision)
    return None


def _fetch(pipeline: Pipeline, revision: int) -> RawFile:
    found = pipeline.bucket.find(revision_key(revision))
    if found is None:
        if ledger.etag_of(pipeline.warehouse.engine, revision) is not None:
            raise PermanentError(
                f"{pipeline.bucket.url}/{revision_key(revision)} was imported before and is no longer there. "
                "What was imported of it is kept. Put the file back, or leave the revision out."
            )
        return pipeline.lake.mark_absent(revision)
    return _stored(pipeline, revision, found)


def _stored(pipeline: Pipeline, revision: int, found: StoredObject) -> RawFile:
    """Copy an object. If its bytes do not match its checksum, read it again from byte 0."""
    for attempt in range(1, MAX_READS + 1):
        try:
            with writing(pipeline.lake.root):
                return pipeline.lake.store_raw(revision, found.etag, pipeline.bucket.read(found))
        except ObjectDamagedError as error:
            damage = str(error)
            log.warning("%s Reading it again (read %d of %d).", damage, min(attempt + 1, MAX_READS), MAX_READS)
    raise PermanentError(
        f"{damage} That was so in each of {MAX_READS} reads, so revision {revision} is not imported. Check the network "
        f"and any proxy before S3, and the object itself. Then run `kmdb import {revision}`."
    )


def _chunks(raw: RawFile) -> Iterable[bytes]:
    if raw.path is None:
        return
    with translate_os_errors(raw.path), raw.path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk

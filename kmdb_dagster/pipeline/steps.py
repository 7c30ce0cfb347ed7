"""The four steps of revisions. Each returns figures for the UI and logs.

Fetch and parse handle one revision. Resolve and load handle a group of parsed ones in one transaction, either all or
none of them (`pipeline.groups`).
"""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kmdb_dagster.erasure.redaction import Redactor
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.km_export.file_formats import decompressed
from kmdb_dagster.km_export.layout import describe_ranges, revision_key
from kmdb_dagster.km_export.reader import read_columns
from kmdb_dagster.lake import Lake, ParsedFile, ParsedInMemory, ParsedRevision, RawFile, write_parsed
from kmdb_dagster.lake.files import translate_os_errors
from kmdb_dagster.lake.locks import writing
from kmdb_dagster.pipeline.rejection_limit import RejectionLimit
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.source import Bucket, ObjectDamagedError, StoredObject
from kmdb_dagster.source.folder import CHUNK
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.identity.revision import ResolveCounts, resolve_revisions
from kmdb_dagster.warehouse.identity.user_map import move_facts
from kmdb_dagster.warehouse.interning.lookup import UnresolvedError
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.ledger.changed_days import compact_changed_days
from kmdb_dagster.warehouse.loading.revision import load_revisions

log = logging.getLogger(__name__)

MAX_READS = 3
"""Of an object whose bytes arrive damaged. Damage by the network does not hit the same byte twice."""
MAX_RESOLUTIONS = 4
"""In one load. One is enough after a flush, or after the server lost commits."""
MAX_BYTES_IN_MEMORY = 32 * 1024 * 1024
"""Records of a revision that are handed to the next steps in memory. Larger ones are read from the Parquet."""

Figures = dict[str, int | str]
"""Figures of a step by name, e.g. ``{"events": 1200}``. Never personal data."""


class Pipeline(NamedTuple):
    """Where data comes from and goes to, and the settings of the steps."""

    bucket: Bucket
    lake: Lake
    warehouse: Warehouse
    batch_size: int
    keep_files: bool
    max_rejected_share: float
    numeric_apart: bool


@retry_transient
def fetch(pipeline: Pipeline, revision: int) -> Figures:
    """Copy a revision's file from the bucket into the lake, byte for byte."""
    raw = _fetch(pipeline, revision)
    return {"bytes": raw.size, "etag": raw.etag or "(KissMetrics never wrote this number)"}


@retry_transient
def parse(pipeline: Pipeline, revision: int) -> tuple[Figures, ParsedRevision]:
    """Parse every line of a revision into Parquet.

    A raw copy is parsed as it is. If that fails and the bucket has another file by now, that one is parsed.

    Returns:
        The figures; and the records, which are in memory unless they are very many.

    Raises:
        PermanentError: the rejection limit is exceeded.
    """
    copy = _intact_copy(pipeline, revision)
    if copy is None:
        return _parse(pipeline, revision, _fetch(pipeline, revision))
    try:
        return _parse(pipeline, revision, copy)
    except PermanentError:
        if not _is_replaced(pipeline, revision, copy):
            raise
    log.info("Revision %d was replaced in the bucket since it was copied. It is fetched again.", revision)
    return _parse(pipeline, revision, _fetch(pipeline, revision))


def _parse(pipeline: Pipeline, revision: int, raw: RawFile) -> tuple[Figures, ParsedRevision]:
    limit = RejectionLimit(revision, raw, pipeline.max_rejected_share)
    # Until the erasure list was read again: an erasure waits for this lock before it searches the files.
    with writing(pipeline.lake.root):
        while True:
            redact = Redactor(pipeline.warehouse.last_erased_digests())
            path, records = pipeline.lake.parsed(revision), limit.numbered(read_columns(decompressed(_chunks(raw))))
            parsed = ParsedInMemory(revision, raw.etag, raw.size, MAX_BYTES_IN_MEMORY)
            counts = write_parsed(path, revision, raw, records, check=limit, redact=redact, keep=parsed.keep)
            redact.extend_erasures(pipeline.warehouse.engine, numeric_apart=pipeline.numeric_apart)
            if pipeline.warehouse.erased_digests() == redact.erased.digests:
                break
    if redact.has_redacted or not pipeline.keep_files:
        pipeline.lake.drop_raw(revision)
    figures: Figures = {"bytes": raw.size, **counts._asdict()}
    return figures, parsed if parsed.is_complete else ParsedFile(path, revision)


@retry_transient
def open_parsed(pipeline: Pipeline, revision: int) -> ParsedRevision:
    """Open the Parquet of a revision that was parsed earlier.

    Raises:
        PermanentError: it is missing or damaged.
    """
    return ParsedFile(pipeline.lake.parsed(revision), revision)


@retry_transient
def resolve(pipeline: Pipeline, group: Sequence[ParsedRevision]) -> dict[int, Figures]:
    """Intern the names and identities of revisions, store their alias lines, and update the user map."""
    found = _resolve(pipeline, group)
    return {
        revision: {"aliases": counts.aliases, "identities_moved": counts.changed} for revision, counts in found.items()
    }


@retry_transient
def load(pipeline: Pipeline, group: Sequence[ParsedRevision]) -> dict[int, Figures]:
    """Replace the facts of revisions, in one transaction. Resolve them first if that was done from other files.

    Raises:
        PermanentError: another process deletes what this step resolves.
    """
    for _ in range(MAX_RESOLUTIONS):
        try:
            entries = load_revisions(
                pipeline.warehouse.engine,
                group,
                batch_size=pipeline.batch_size,
                make_redactor=Redactor,
                leftovers=pipeline.warehouse.leftover_facts,
            )
        except UnresolvedError as error:
            log.info("%s Resolving it again.", error)
            _resolve(pipeline, group)
        else:
            return {revision: _figures(entry) for revision, entry in entries.items()}
    revisions = describe_ranges(parsed.revision for parsed in group)
    raise PermanentError(
        "Stop the other process, then run import_outstanding. "
        f"Revision {revisions} was resolved {MAX_RESOLUTIONS} times, and its names or aliases were missing each time. "
        "Another process deletes from `keys`, `users`, `aliases` or `resolved_revisions`, or parses another version of "
        "the file."
    )


@retry_transient
def apply_moves(pipeline: Pipeline) -> int:
    """Move the facts of identities that got another person, and compact ``changed_days``.

    Returns:
        The number of identities.
    """
    compact_changed_days(pipeline.warehouse.engine)
    return move_facts(pipeline.warehouse.engine)


def _figures(entry: ledger.Entry) -> Figures:
    figures = {name: value for name, value in entry._asdict().items() if isinstance(value, int)}
    return {**figures, "rows": entry.events + entry.properties}


def _resolve(pipeline: Pipeline, group: Sequence[ParsedRevision]) -> dict[int, ResolveCounts]:
    return resolve_revisions(
        pipeline.warehouse,
        group,
        batch_size=pipeline.batch_size,
        make_redactor=Redactor,
        numeric_apart=pipeline.numeric_apart,
    )


def is_fetched(pipeline: Pipeline, revision: int) -> bool:
    """Return whether the lake has a raw copy of the revision."""
    return pipeline.lake.raw(revision) is not None


def _is_replaced(pipeline: Pipeline, revision: int, copy: RawFile) -> bool:
    found = pipeline.bucket.find(revision_key(revision))
    return found is not None and found.etag != copy.etag


def _intact_copy(pipeline: Pipeline, revision: int) -> RawFile | None:
    raw = pipeline.lake.raw(revision)
    if raw is None or raw.is_intact():
        return raw
    log.warning("The raw copy of revision %d is damaged on the disk. It is fetched again.", revision)
    return None


def _fetch(pipeline: Pipeline, revision: int) -> RawFile:
    found = pipeline.bucket.find(revision_key(revision))
    if found is None:
        if ledger.etag_of(pipeline.warehouse.engine, revision) is not None:
            raise PermanentError(
                f"Put {revision_key(revision)} back into the bucket, then run import_outstanding. "
                f"{pipeline.bucket.url}/{revision_key(revision)} was imported before and is no longer there. The "
                "imported facts are kept, so you can also leave it."
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
        f"Check the network and any proxy before S3, and the object itself, then run import_outstanding. {damage} All "
        f"{MAX_READS} reads failed like this, so revision {revision} is not imported."
    )


def _chunks(raw: RawFile) -> Iterable[bytes]:
    if raw.path is None:
        return
    with translate_os_errors(raw.path), raw.path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk

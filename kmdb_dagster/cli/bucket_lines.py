"""What ``kmdb status`` says of the bucket: how much of it is not in yet, and what is not read at all."""

from sqlalchemy import Engine

from kmdb_dagster.errors import KmdbError, MissingSettingError
from kmdb_dagster.km_export.layout import ranges_in_words
from kmdb_dagster.km_export.unread_keys import unread_in_words
from kmdb_dagster.pipeline.bucket_scan import Sighting, changed, look_everywhere, vanished
from kmdb_dagster.warehouse.ledger import ledger


def bucket_lines(engine: Engine) -> list[tuple[str, str]]:
    """List the bucket and compare it with the ledger: a name and a value each."""
    # Dagster takes a second to import: only for those who need it.
    from kmdb_dagster.defs.resources import Kmdb

    try:
        bucket = Kmdb().bucket()
        sighting = look_everywhere(bucket, Kmdb().settings().min_revision)
    except MissingSettingError:
        return []
    except KmdbError as error:
        return [("bucket", f"cannot be listed. {error}")]
    return [("bucket", f"{bucket.url}: {_words(sighting, ledger.statuses(engine))}"), *_not_read(sighting)]


def _words(sighting: Sighting, statuses: dict[int, ledger.Status]) -> str:
    waiting = [number for number in sighting.etags if number not in statuses or not statuses[number].imported]
    parts = [
        f"{len(sighting.etags):,} revisions",
        f"not in yet: {ranges_in_words(waiting)}",
        f"changed since they were imported: {ranges_in_words(changed(sighting, statuses))}",
        f"imported before and no longer there: {ranges_in_words(vanished(sighting, statuses))}",
    ]
    return "; ".join(part for part in parts if not part.endswith(": none"))


def _not_read(sighting: Sighting) -> list[tuple[str, str]]:
    words = unread_in_words(sighting.listing) if sighting.listing else ""
    return [("not read", words)] if words else []

"""The installation under test: servers, bucket, tables, lake, and the proxies between them."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from sqlalchemy import text

from dev.servers import REDIS, S3, Server, running, start, stop
from faults.cutter import Cutter, cutting
from faults.database import Database
from faults.export import Export
from faults.gateway import Gateway, gateway_to
from kmdb_dagster.km_export.layout import parse_revision, revision_key
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.ledger import ledger
from kmdb_dagster.warehouse.maintenance.time_partitions import apply_plans, plan_all
from kmdb_dagster.warehouse.schema.migrations import migrate
from kmdb_dagster.warehouse.schema.tables import Base

NAME = "kmdb_faults"
BUCKET = "km-faults"
FIRST_DAY = date(2014, 1, 1)
STATE = {"warehouse_state", "map_state", "bindings", "alembic_version"}


class Site:
    """The installation. ``work`` is a folder for temporary files."""

    def __init__(self, database: Database, s3: Server, gateway: Gateway, cutter: Cutter, work: Path) -> None:
        self.database, self.gateway, self.cutter, self.work = database, gateway, cutter, work
        self.redis = start(REDIS, work / "redis")
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=s3.url,
            aws_access_key_id="faults",
            aws_secret_access_key="faults",  # noqa: S106 - our own server takes anything
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=BUCKET)
        self._weeks = 4
        self.warehouse = Warehouse(database_url(database.recreate(NAME)))
        migrate(self.warehouse.engine)
        self.add_partition()

    def settings(self) -> dict[str, str]:
        """Return the environment of an import."""
        return {
            "DATABASE_URL": f"{self.database.url}/{NAME}",
            "KMDB_REDIS_URL": self.redis.url,
            "AWS_BUCKET": BUCKET,
            "AWS_ENDPOINT_URL": self.gateway.url,
            "AWS_ACCESS_KEY_ID": "faults",
            "AWS_SECRET_ACCESS_KEY": "faults",
            "KMDB_DATA_DIR": str(self.work / "lake"),
            # Several batches per revision.
            "KMDB_BATCH_SIZE": "25",
        }

    def empty(self) -> None:
        """Empty the tables and the lake. The time partitions stay."""
        shutil.rmtree(self.work / "lake", ignore_errors=True)
        with self.warehouse.engine.begin() as connection:
            for table in set(Base.metadata.tables) - STATE:
                connection.exec_driver_sql(f"DELETE FROM `{table}`")
            connection.execute(text("UPDATE warehouse_state SET generation = :new"), {"new": uuid.uuid4().hex})
            connection.execute(text("UPDATE bindings SET bucket = NULL, bucket_bound_at = NULL"))
            connection.execute(text("UPDATE bindings SET bucket = NULL"))

    def upload(self, export: Export) -> None:
        """Upload files, as KissMetrics does."""
        for revision, content in export.items():
            self._client.put_object(Bucket=BUCKET, Key=revision_key(revision), Body=content)

    def etags(self) -> dict[int, str]:
        """Return the ETag of each revision in the bucket."""
        listed = self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        found = {parse_revision(item["Key"]): item["ETag"].strip('"') for item in listed}
        return {revision: etag for revision, etag in found.items() if revision is not None}

    def lacking(self) -> list[int]:
        """Return the revisions of the bucket that the ledger lacks or has with another ETag, ascending."""
        statuses = ledger.statuses(self.warehouse.engine)
        loaded = {number: status.etag for number, status in statuses.items() if status.imported}
        return sorted(number for number, etag in self.etags().items() if loaded.get(number) != etag)

    def remove(self, revision: int) -> None:
        """Delete a file from the bucket."""
        self._client.delete_object(Bucket=BUCKET, Key=revision_key(revision))

    def add_partition(self) -> None:
        """One more week of time partitions, with the rows that are in `future` and belong there."""
        self._weeks += 1
        plans = plan_all(
            self.warehouse.engine,
            min_date=FIRST_DAY,
            max_date=FIRST_DAY + timedelta(weeks=self._weeks),
            days=7,
            today=datetime.now(UTC).date(),
        )
        apply_plans(self.warehouse.engine, plans)

    def close(self) -> None:
        """End everything and delete the files."""
        stop(self.redis)
        self.warehouse.close()


@contextmanager
def opened(database: Database, work: Path) -> Iterator[Site]:
    """Open an installation on this database server."""
    with running(S3, work / "s3") as s3, gateway_to(s3.url) as gateway, cutting(database.port) as cutter:
        site = Site(database, s3, gateway, cutter, work)
        try:
            yield site
        finally:
            site.close()

"""The resource `kmdb`: opens the bucket, the lake and the warehouse when they are needed, as plain objects."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kmdb_dagster.lake import Lake
from kmdb_dagster.pipeline import Pipeline
from kmdb_dagster.pipeline.export_bucket import ExportBucket
from kmdb_dagster.retries import retry_transient
from kmdb_dagster.settings import Settings, load_settings, missing_setting, reveal
from kmdb_dagster.source import Bucket, FolderBucket
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster.warehouse.connection.bindings import claim_bucket
from kmdb_dagster.warehouse.connection.data_folders import claim_folder
from kmdb_dagster.warehouse.connection.server import LONG_STATEMENT_TIMEOUT_SECONDS


class Kmdb(dg.ConfigurableResource[None]):
    """Opens the bucket, the lake and the warehouse that the settings name. Nothing is opened before it is used."""

    def settings(self) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: a setting is wrong.
        """
        return load_settings()

    def bucket(self) -> Bucket:
        """Open the bucket of the export.

        Raises:
            SettingsError: neither AWS_BUCKET nor KMDB_LOCAL_BUCKET is set.
            TransientError: the credentials of a role cannot be fetched now.
        """
        settings = self.settings()
        if settings.local_bucket is not None:
            return ExportBucket(FolderBucket(settings.local_bucket, settings.prefix))
        if settings.bucket is None:
            raise missing_setting("AWS_BUCKET")
        # boto3 and dagster-aws take a third of a second to import: only an export on S3 needs them.
        from kmdb_dagster.dagster_ext.s3_resource import S3WithTimeouts  # noqa: PLC0415
        from kmdb_dagster.source.s3 import S3Bucket  # noqa: PLC0415
        from kmdb_dagster.source.s3_errors import translate_s3_errors  # noqa: PLC0415

        s3 = S3WithTimeouts(
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=reveal(settings.secret_access_key),
            aws_session_token=reveal(settings.session_token),
        )
        # boto3 fetches the credentials of a role here.
        with translate_s3_errors(f"s3://{settings.bucket}"):
            client = s3.get_client()
        return ExportBucket(S3Bucket(client, settings.bucket, settings.prefix))

    @contextmanager
    def warehouse(self, *, whole_tables: bool = True) -> Iterator[Warehouse]:
        """Open the database, and close it at the end.

        Args:
            whole_tables: statements may take hours. If not, they get KMDB_DATABASE_TIMEOUT_SECONDS, as in imports.

        Raises:
            SettingsError: DATABASE_URL is not set.
        """
        settings = self.settings()
        timeout = LONG_STATEMENT_TIMEOUT_SECONDS if whole_tables else settings.database_timeout_seconds
        warehouse = Warehouse(settings.required_database(), timeout)
        try:
            yield warehouse
        finally:
            warehouse.close()

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """Open what the steps of a revision need.

        Raises:
            PermanentError: the database belongs to another bucket, or has its files in other folders.
        """
        settings, lake = self.settings(), Lake(self.settings().data_folder)
        with self.warehouse(whole_tables=False) as warehouse:
            bucket = retry_transient(self.bucket)()
            _claim(warehouse, lake, bucket)
            yield Pipeline(
                bucket,
                lake,
                warehouse,
                batch_size=settings.batch_size,
                keep_files=settings.keep_files,
                max_rejected_share=settings.max_rejected_share,
                numeric_apart=settings.numeric_apart,
            )
            # Again: the server may have lost the commits of the start, and kept those of the import.
            _claim(warehouse, lake, bucket)


def _claim(warehouse: Warehouse, lake: Lake, bucket: Bucket) -> None:
    retry_transient(claim_folder)(warehouse.engine, lake)
    retry_transient(claim_bucket)(warehouse.engine, bucket.location)

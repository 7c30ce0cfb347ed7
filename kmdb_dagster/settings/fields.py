"""The settings: the type, limits, default and description of each."""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL

from kmdb_dagster.database_options import database_url
from kmdb_dagster.errors import MissingSettingError
from kmdb_dagster.km_export.layout import MAX_REVISION
from kmdb_dagster.settings.validation import (
    check_database_url,
    check_folder_url,
    check_hosts,
    check_owners,
    check_redis_url,
    check_time_zone,
    check_web_url,
    normalize_prefix,
    split_at_blanks,
    strip_values,
)


class Settings(BaseSettings):
    """The settings of this process. Each alias is the name of an environment variable."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    database_url: Annotated[SecretStr | None, AfterValidator(check_database_url)] = Field(
        None,
        alias="DATABASE_URL",
        description="The MySQL or MariaDB database, e.g. `mysql://kmdb:secret@db.example.com/kmdb`. "
        "URLs of Rails (`mysql2://`), JDBC and hosting providers work. `?ssl_ca=/…/ca.pem` requires TLS.",
    )
    database_timeout_seconds: int = Field(
        900,
        alias="KMDB_DATABASE_TIMEOUT_SECONDS",
        ge=120,
        le=86_400,
        description="Seconds that an import waits for an answer of the database before it reconnects and retries. "
        "Statements over whole tables (checks, questions, indexes, `kmdb realias`) may take a day.",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(check_redis_url)] = Field(
        None,
        alias="KMDB_REDIS_URL",
        description="Accepted because km-db has it, and not used: ids are never cached. E.g. `redis://localhost/14` "
        "or `rediss://…` for TLS. The broker of Celery is `DAGSTER_REDIS_URL`.",
    )
    min_date: date | None = Field(
        None,
        alias="KMDB_MIN_DATE",
        description="Start of the first time partition, e.g. `2014-01-01`. Required for the first partitioning, "
        "ignored afterwards.",
    )
    max_date: date | None = Field(
        None,
        alias="KMDB_MAX_DATE",
        description="End of the last time partition, e.g. `2016-01-01`. Default: 90 days from today.",
    )
    days_per_partition: int = Field(
        7, alias="KMDB_DAYS_PER_PARTITION", ge=1, le=3660, description="Days in one time partition."
    )
    keep_days: int | None = Field(
        None,
        alias="KMDB_KEEP_DAYS",
        ge=1,
        le=36600,
        description="Retention in days. The job `drop_partitions` proposes the time partitions of older facts, and "
        "drops them if its configuration says so. Default: everything is kept.",
    )
    keep_history_days: int = Field(
        90,
        alias="KMDB_KEEP_HISTORY_DAYS",
        ge=1,
        le=36600,
        description="The job `purge_history` deletes runs and backfills from Dagster's history that ended more days "
        "ago than this.",
    )
    time_zone: Annotated[str, AfterValidator(check_time_zone)] = Field(
        "UTC",
        alias="KMDB_TIME_ZONE",
        description="The time zone of the site, e.g. `Europe/London`: questions count its days and months. The tables "
        "and the import stay in UTC. `kmdb ask … --tz` takes another one.",
    )
    min_revision: int | None = Field(
        None,
        alias="KMDB_MIN_REVISION",
        ge=1,
        le=MAX_REVISION,
        description="The first revision to import. Default: the lowest in the bucket.",
    )
    revision_lookahead: int = Field(
        10,
        alias="KMDB_REVISION_LOOKAHEAD",
        ge=1,
        le=1000,
        description="How many revision numbers after the last known one the sensor probes between two full listings.",
    )
    batch_size: int = Field(
        5000,
        alias="KMDB_BATCH_SIZE",
        ge=1,
        le=1_000_000,
        description="Records that are read from a Parquet file at a time.",
    )
    bucket: str | None = Field(None, alias="AWS_BUCKET", description="The S3 bucket that KissMetrics writes to.")
    access_key_id: str | None = Field(
        None,
        alias="AWS_ACCESS_KEY_ID",
        description="AWS credentials. Default: those that boto3 finds (profile, instance role).",
    )
    secret_access_key: SecretStr | None = Field(
        None, alias="AWS_SECRET_ACCESS_KEY", description="The secret of `AWS_ACCESS_KEY_ID`."
    )
    session_token: SecretStr | None = Field(
        None, alias="AWS_SESSION_TOKEN", description="The session token of temporary credentials."
    )
    endpoint_url: Annotated[str | None, AfterValidator(check_web_url)] = Field(
        None,
        alias="AWS_ENDPOINT_URL",
        description="The endpoint of an S3-compatible service, e.g. `http://127.0.0.1:9000`. Default: Amazon's.",
    )
    region: str = Field("us-east-1", alias="AWS_DEFAULT_REGION", description="The bucket's region.")
    local_bucket: Path | None = Field(
        None,
        alias="KMDB_LOCAL_BUCKET",
        description="A folder with the layout of the bucket (`revisions/1.json` …), read instead of S3.",
    )
    prefix: Annotated[str, AfterValidator(normalize_prefix)] = Field(
        "",
        alias="KMDB_PREFIX",
        description="The prefix of the export in the bucket or folder, e.g. `kissmetrics/` for "
        "`kissmetrics/revisions/1.json`. Default: none.",
    )
    data_dir: Path = Field(
        Path("var/data"),
        alias="KMDB_DATA_DIR",
        description="The folder of raw files and Parquet. It holds personal data: protect it like the database.",
    )
    keep_files: bool = Field(
        default=False,
        alias="KMDB_KEEP_FILES",
        description="`yes` keeps the raw file of a revision after it is parsed.",
    )
    columnar: bool = Field(
        default=True,
        alias="KMDB_COLUMNAR",
        description="`no` turns off the asset `columnar_facts`, a copy of the facts in Parquet for DuckDB and others.",
    )
    columnar_url: Annotated[str | None, AfterValidator(check_folder_url)] = Field(
        None,
        alias="KMDB_COLUMNAR_URL",
        description="The folder of the columnar copy, as a path or `file:///…`. It holds personal data. Default: "
        "`columnar` in KMDB_DATA_DIR.",
    )
    max_rejected_share: float = Field(
        0.5,
        alias="KMDB_MAX_REJECTED_SHARE",
        ge=0,
        le=1,
        description="The rejection limit: a revision fails if a larger share of its lines is rejected. In a file of "
        "fewer than 100 lines, one line that can be imported is enough. `1` turns the limit off.",
    )
    numeric_apart: bool = Field(
        default=False,
        alias="KMDB_NUMERIC_APART",
        description="`yes` never merges two numeric identities: each other identity belongs to the nearest numeric "
        "one. Run `kmdb realias` after a change.",
    )
    most_identities: int = Field(
        1000,
        alias="KMDB_MOST_IDENTITIES",
        ge=1,
        description="The check `squished_people` lists over-merged people: those with more identities than this.",
    )
    checked_rows: int = Field(
        2000,
        alias="KMDB_CHECKED_ROWS",
        ge=0,
        description="Facts of each revision that the check `facts_agree_with_parquet` compares with the Parquet. "
        "`0` turns the check off.",
    )
    revisions_per_run: int = Field(
        200, alias="KMDB_REVISIONS_PER_RUN", ge=1, le=1000, description="How many revisions one run imports."
    )
    runs_ahead: int = Field(
        10,
        alias="KMDB_RUNS_AHEAD",
        ge=1,
        le=1000,
        description="How many import runs the sensor keeps queued or running.",
    )
    fresh_hours: float = Field(
        48,
        alias="KMDB_FRESH_HOURS",
        ge=0,
        description="The check `newest_event_is_recent` warns if the newest event is older than this, in hours. "
        "KissMetrics exports every 12 hours, up to the day before. `0` turns the check off.",
    )
    stalled_hours: float = Field(
        2,
        alias="KMDB_STALLED_HOURS",
        gt=0,
        description="Hours without an imported revision, while revisions are pending, until an alert reports a stall.",
    )
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_at_blanks)] = Field(
        (),
        alias="KMDB_ALERT_URLS",
        description="Where alerts are sent: Apprise URLs, separated by blanks, e.g. `mailto://… slack://… json://…`.",
    )
    questions: Path | None = Field(
        None,
        alias="KMDB_QUESTIONS",
        description="The TOML file of saved questions, which Dagster answers on a schedule. `kmdb ask --save` adds "
        "one, and so may you: `signups = 'trend \"signed up\" --last 30d'`.",
    )
    ui_url: Annotated[str, AfterValidator(check_web_url)] = Field(
        "http://127.0.0.1:3000",
        alias="KMDB_UI_URL",
        description="The URL of Dagster's UI in a browser, for links in alerts. The UI accepts requests for its host.",
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_at_blanks), AfterValidator(check_hosts)] = (
        Field(
            (),
            alias="KMDB_UI_HOSTS",
            description="More host names that the UI accepts, separated by blanks, e.g. `kmdb.internal 10.0.0.5:3000`. "
            "It refuses requests for other names, except for this machine's own.",
        )
    )

    owners: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_at_blanks), AfterValidator(check_owners)] = (
        Field(
            ("team:data",),
            alias="KMDB_OWNERS",
            description="Who owns the assets in the UI: teams and e-mail addresses, separated by blanks, e.g. "
            "`team:data alice@example.com`.",
        )
    )
    docs_url: Annotated[str | None, AfterValidator(check_web_url)] = Field(
        None,
        alias="KMDB_DOCS_URL",
        description="The URL of this documentation (`dev/docs --build` makes the site), for links in the UI's "
        "descriptions. Default: descriptions name the page.",
    )

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, given: dict[str, Any]) -> dict[str, Any]:
        return strip_values(given)

    @field_validator("max_date")
    @classmethod
    def _is_after_min_date(cls, value: date, others: ValidationInfo) -> date:
        start = others.data.get("min_date")
        if start is not None and start >= value:
            raise ValueError(f"KMDB_MIN_DATE ({start}) is not before KMDB_MAX_DATE")
        return value

    @property
    def data_folder(self) -> Path:
        """Return KMDB_DATA_DIR as an absolute path, relative to the working directory of this process."""
        return Path(os.path.abspath(self.data_dir.expanduser()))  # noqa: PTH100 - resolve() would follow links

    @property
    def columnar_folder(self) -> Path:
        """Return the folder of KMDB_COLUMNAR_URL as an absolute path."""
        if self.columnar_url is None:
            return self.data_folder / "columnar"
        folder = Path(self.columnar_url.removeprefix("file://")).expanduser()
        return Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links

    def require_import(self) -> None:
        """Check that all settings are set that an import needs.

        Raises:
            MissingSettingError: some are not. The message names all of them.
        """
        has_bucket = self.bucket is not None or self.local_bucket is not None
        missing = [
            name for name, is_set in (("DATABASE_URL", self.database_url), ("AWS_BUCKET", has_bucket)) if not is_set
        ]
        if missing:
            raise missing_setting(*missing)

    def required_database(self) -> URL:
        """Return the URL of the database to import into.

        Raises:
            MissingSettingError: DATABASE_URL is not set.
        """
        if self.database_url is None:
            raise missing_setting("DATABASE_URL")
        return database_url(self.database_url.get_secret_value())


def missing_setting(*names: str) -> MissingSettingError:
    """Return the error for required settings that are not set. The caller raises it."""
    missing = " ".join(f"{name} is not set. {description(name)}" for name in names)
    return MissingSettingError(f"{missing} Set {'them' if len(names) > 1 else 'it'} in the environment or in .env.")


def description(name: str) -> str:
    """Return the description of a setting, by the name of its environment variable."""
    fields = {field.alias: field.description or "" for field in Settings.model_fields.values()}
    return fields[name]

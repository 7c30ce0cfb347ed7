"""Every setting, in one typed place: read from the environment, and from ``.env`` in the working directory.

Nothing else in the package reads the environment. Settings load even when everything is missing, so that
definitions and ``kmdb inspect`` need none; whoever needs a setting asks for it with ``required_…`` and gets a
`SettingsError` that names it.
"""

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from redis import Redis
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from kmdb_dagster.database_options import client_options
from kmdb_dagster.errors import MissingSettingError, SettingsError
from kmdb_dagster.km_export.layout import HIGHEST_REVISION


class Settings(BaseSettings):
    """The settings, under the names that the environment uses."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    database_url: SecretStr | None = Field(
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
        description="An import gives a connection up, and tries again, when the database does not answer for so long. "
        "Statements over whole tables (checks, questions, indexes, `kmdb realias`) get a day.",
    )
    redis_url: SecretStr | None = Field(
        None,
        alias="KMDB_REDIS_URL",
        description="A Redis, e.g. `redis://localhost/14`, or `rediss://…` by TLS, under km-db's name. Nothing uses it "
        "at present: ids of names are never cached. Celery's broker is `DAGSTER_REDIS_URL`.",
    )
    min_date: date | None = Field(
        None,
        alias="KMDB_MIN_DATE",
        description="Where the first time partition starts, e.g. `2014-01-01`. Needed for the first "
        "partitioning, ignored afterwards.",
    )
    max_date: date | None = Field(
        None,
        alias="KMDB_MAX_DATE",
        description="Up to where time partitions are made, e.g. `2016-01-01`. If it is not set: 90 days from today.",
    )
    days_per_partition: int = Field(
        7, alias="KMDB_DAYS_PER_PARTITION", ge=1, le=3660, description="Days in one time partition."
    )
    keep_days: int | None = Field(
        None,
        alias="KMDB_KEEP_DAYS",
        ge=1,
        le=36600,
        description="Facts older than so many days may go: the job `drop_partitions` proposes their time partitions, "
        "and drops them when it is told to. If it is not set: everything is kept.",
    )
    min_revision: int | None = Field(
        None,
        alias="KMDB_MIN_REVISION",
        ge=1,
        le=HIGHEST_REVISION,
        description="The first revision to import. If it is not set: the lowest in the bucket.",
    )
    revision_lookahead: int = Field(
        10,
        alias="KMDB_REVISION_LOOKAHEAD",
        ge=1,
        le=1000,
        description="How many numbers after the last known revision the sensor looks for between two full listings.",
    )
    batch_size: int = Field(
        5000,
        alias="KMDB_BATCH_SIZE",
        ge=1,
        le=1_000_000,
        description="Records held in memory at a time while a revision is loaded.",
    )
    bucket: str | None = Field(None, alias="AWS_BUCKET", description="The S3 bucket that KissMetrics writes to.")
    access_key_id: str | None = Field(
        None,
        alias="AWS_ACCESS_KEY_ID",
        description="AWS credentials. If they are not set: boto3's usual places (profile, instance role).",
    )
    secret_access_key: SecretStr | None = Field(
        None, alias="AWS_SECRET_ACCESS_KEY", description="The secret that belongs to it."
    )
    session_token: SecretStr | None = Field(
        None, alias="AWS_SESSION_TOKEN", description="The token that belongs to temporary credentials."
    )
    endpoint_url: str | None = Field(
        None, alias="AWS_ENDPOINT_URL", description="Another S3 API than Amazon's, e.g. `http://127.0.0.1:9000`."
    )
    region: str = Field("us-east-1", alias="AWS_DEFAULT_REGION", description="The bucket's region.")
    local_bucket: Path | None = Field(
        None,
        alias="KMDB_LOCAL_BUCKET",
        description="A folder of the bucket's shape (`revisions/1.json` …) to read instead of S3.",
    )
    prefix: str = Field(
        "",
        alias="KMDB_PREFIX",
        description="Where the export is within the bucket or folder, e.g. `kissmetrics/` for "
        "`kissmetrics/revisions/1.json`. If it is not set: at its top.",
    )
    data_dir: Path = Field(
        Path("var/data"),
        alias="KMDB_DATA_DIR",
        description="Where raw files and Parquet are kept. Personal data: protect it like the database.",
    )
    keep_files: bool = Field(
        default=False,
        alias="KMDB_KEEP_FILES",
        description="`yes` keeps the raw file of a revision after it has been parsed.",
    )
    max_rejected_share: float = Field(
        0.5,
        alias="KMDB_MAX_REJECTED_SHARE",
        ge=0,
        le=1,
        description="The share of a revision's lines that may be rejected. If there are more, the revision fails as a "
        "whole. In a file of fewer than 100 lines, one line that can be imported is enough. `1` lets everything "
        "through.",
    )
    numeric_apart: bool = Field(
        default=False,
        alias="KMDB_NUMERIC_APART",
        description="`yes` never makes one person of two numeric identities: each other identity goes to the nearest "
        "numeric one. A change is put in force by `kmdb realias`.",
    )
    most_identities: int = Field(
        1000,
        alias="KMDB_MOST_IDENTITIES",
        ge=1,
        description="The check `squished_people` names people with more identities than this.",
    )
    checked_rows: int = Field(
        2000,
        alias="KMDB_CHECKED_ROWS",
        ge=0,
        description="Facts of each revision that the check `facts_agree_with_parquet` compares with the Parquet. "
        "0 turns it off.",
    )
    revisions_per_run: int = Field(
        200, alias="KMDB_REVISIONS_PER_RUN", ge=1, le=1000, description="Revisions that one run takes."
    )
    runs_ahead: int = Field(
        10,
        alias="KMDB_RUNS_AHEAD",
        ge=1,
        le=1000,
        description="Runs that the sensor lets wait or run at a time.",
    )
    fresh_hours: float = Field(
        48,
        alias="KMDB_FRESH_HOURS",
        ge=0,
        description="The check `newest_event_is_recent` warns when the newest event is older than so many hours. "
        "KissMetrics exports every 12 hours, up to the day before. `0`: never.",
    )
    stalled_hours: float = Field(
        2,
        alias="KMDB_STALLED_HOURS",
        gt=0,
        description="Hours without a new revision, although there are some to import, after which an alert says so.",
    )
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        alias="KMDB_ALERT_URLS",
        description="Where to tell of what went wrong: Apprise URLs, separated by blanks, e.g. "
        "`mailto://… slack://… json://…`.",
    )
    questions: Path | None = Field(
        None,
        alias="KMDB_QUESTIONS",
        description="A TOML file of questions that Dagster asks, each a line like "
        "`signups = 'trend \"signed up\" --last 30d'`.",
    )
    ui_url: str = Field(
        "http://127.0.0.1:3000",
        alias="KMDB_UI_URL",
        description="Dagster's UI as browsers reach it: for the links in alerts, and a name that the UI answers to.",
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        alias="KMDB_UI_HOSTS",
        description="More names that the UI answers to, separated by blanks, e.g. `kmdb.internal 10.0.0.5:3000`. "
        "Requests for any other name are refused, except for this machine's own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Values without the blanks and quotes that some ways to set an environment leave; empty ones are not set."""
        bare = {name: _unquoted(value) if isinstance(value, str) else value for name, value in given.items()}
        return {name: value for name, value in bare.items() if value != ""}

    @field_validator("alert_urls", "ui_hosts", mode="before")
    @classmethod
    def _split_at_blanks(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("ui_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", host) for host in value):
            raise ValueError("expected HOST or HOST:PORT, separated by blanks")
        return value

    @field_validator("prefix")
    @classmethod
    def _end_with_slash(cls, value: str) -> str:
        return f"{value.strip('/')}/" if value.strip("/") else ""

    @field_validator("database_url")
    @classmethod
    def _is_mysql_url(cls, value: SecretStr) -> SecretStr:
        database_url(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr) -> SecretStr:
        try:
            Redis.from_url(value.get_secret_value())  # connects to nothing yet
        except ValueError:
            raise ValueError("expected redis://HOST:PORT/NUMBER, rediss://… or unix:///PATH") from None
        return value

    @field_validator("endpoint_url", "ui_url")
    @classmethod
    def _is_web_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value):
            raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
        return value

    @field_validator("max_date")
    @classmethod
    def _is_after_min_date(cls, value: date, others: ValidationInfo) -> date:
        start = others.data.get("min_date")
        if start is not None and start >= value:
            raise ValueError(f"KMDB_MIN_DATE ({start}) is not before KMDB_MAX_DATE")
        return value

    @property
    def data_folder(self) -> Path:
        """KMDB_DATA_DIR as an absolute path, from the working directory of this process."""
        return Path(os.path.abspath(self.data_dir.expanduser()))  # noqa: PTH100 - resolve() would follow links

    def required_database(self) -> URL:
        """The database to import into.

        Raises:
            MissingSettingError: DATABASE_URL is not set.
        """
        if self.database_url is None:
            raise missing("DATABASE_URL")
        return database_url(self.database_url.get_secret_value())


def database_url(text: str) -> URL:
    """A database URL as SQLAlchemy wants it, from any of the forms in use.

    Raises:
        ValueError: it is not the URL of a MySQL database.
    """
    expected = "expected mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        url = make_url(text.removeprefix("jdbc:"))
    except (ArgumentError, ValueError):  # SQLAlchemy's words may quote a password
        raise ValueError(expected) from None
    if url.drivername.partition("+")[0] not in {"mysql", "mysql2", "mariadb"} or not url.database:
        raise ValueError(expected)
    if "@" in text.partition("?")[2]:
        raise ValueError(f"{expected}, the password URL-encoded (? is %3F)")
    options = {**client_options(url.query), "charset": "utf8mb4"}
    # The client takes `localhost` for its socket, whatever the port.
    host = "127.0.0.1" if url.host == "localhost" and url.port else url.host
    return url.set(drivername="mysql+mysqldb", host=host, query=options)


def load_settings(**values: Any) -> Settings:  # noqa: ANN401 - whatever the fields accept
    """The settings of this process: from ``values`` (tests), the environment, ``.env``, the defaults.

    Raises:
        SettingsError: one or more settings are wrong (the message names each), or ``.env`` cannot be read.
    """
    try:
        return Settings(**values)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}). It must be UTF-8 text.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_problem(item) for item in error.errors(include_input=True))) from None


def revealed(secret: SecretStr | None) -> str | None:
    """A secret for whoever must send it."""
    return secret.get_secret_value() if secret else None


def missing(name: str) -> MissingSettingError:
    """The error for a setting that is needed here and not set."""
    return MissingSettingError(f"{name} is not set. {description(name)} Set it in the environment or in .env.")


def description(name: str) -> str:
    """What is expected of a setting, in words."""
    fields = {field.alias: field.description or "" for field in Settings.model_fields.values()}
    return fields[name]


def _unquoted(value: str) -> str:
    return re.sub(r"\A\s*(['\"]?)\s*(.*?)\s*\1\s*\Z", r"\2", value, flags=re.DOTALL)


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, whose keys depend on the error
    name = str(item["loc"][0])
    secret = "Secret" in str(next(f.annotation for f in Settings.model_fields.values() if f.alias == name))
    shown = "***" if secret else repr(item.get("input"))
    return f"{name} is {shown}: {item['msg'].removeprefix('Value error, ')}. {description(name)}"

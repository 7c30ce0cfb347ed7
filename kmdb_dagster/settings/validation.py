"""Checks and conversions of single settings, which pydantic calls for the fields of `Settings`.

Each returns the value to keep, or raises ValueError with the expected format and never with the value.
"""

import re
from typing import Any

from pydantic import SecretStr

from kmdb_dagster.database_options import database_url
from kmdb_dagster.time_zones import time_zone

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
OWNER = re.compile(r"team:[A-Za-z0-9_.-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
WEB_URL = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
QUOTED = re.compile(r"\A\s*(['\"]?)\s*(.*?)\s*\1\s*\Z", re.DOTALL)


def strip_values(given: dict[str, Any]) -> dict[str, Any]:
    """Remove blanks and quotes around text, as `docker --env-file` leaves them. Drop empty values: they are not set."""
    stripped = {name: QUOTED.sub(r"\2", value) if isinstance(value, str) else value for name, value in given.items()}
    return {name: value for name, value in stripped.items() if value != ""}


def split_at_blanks(value: object) -> object:
    """Split text into a tuple of words."""
    return tuple(value.split()) if isinstance(value, str) else value


def normalize_prefix(value: str) -> str:
    """Return a prefix that ends with one slash and starts with none, or an empty one."""
    return f"{value.strip('/')}/" if value.strip("/") else ""


def check_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that each is a host name or address, with or without a port."""
    if not all(HOST.fullmatch(host) for host in value):
        raise ValueError("expected HOST or HOST:PORT, separated by blanks")
    return value


def check_folder_url(value: str) -> str:
    """Check that a URL is a folder: a path, or ``file:///path``."""
    if "://" in value and not value.startswith("file:///"):
        raise ValueError("expected a folder: a path, or file:///path")
    return value


def check_owners(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that each is a team or an e-mail address, as Dagster wants owners."""
    if not all(OWNER.fullmatch(owner) for owner in value):
        raise ValueError("expected team:NAME or an e-mail address, separated by blanks")
    return value


def check_database_url(value: SecretStr) -> SecretStr:
    """Check that it is the URL of a MySQL or MariaDB database."""
    database_url(value.get_secret_value())
    return value


def check_redis_url(value: SecretStr) -> SecretStr:
    """Check that it is the URL of a Redis, without a connection to it."""
    from redis import Redis  # noqa: PLC0415 - only this setting needs it

    try:
        Redis.from_url(value.get_secret_value())
    except ValueError:
        raise ValueError("expected redis://HOST:PORT/NUMBER, rediss://… or unix:///PATH") from None
    return value


def check_time_zone(value: str) -> str:
    """Check that it is the name of a time zone."""
    time_zone(value)
    return value


def check_web_url(value: str) -> str:
    """Check that it is an HTTP or HTTPS URL without a query."""
    if not WEB_URL.fullmatch(value):
        raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
    return value

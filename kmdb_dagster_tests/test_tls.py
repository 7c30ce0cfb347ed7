"""TLS to the database and S3 is used where it is requested, and an untrusted certificate is refused."""

import dataclasses
import socket
import ssl
from collections.abc import Iterator

import boto3
import pytest
from sqlalchemy import create_engine

from dev.servers import HOST, MARIADB, S3, running
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError
from kmdb_dagster.settings import database_url, load_settings
from kmdb_dagster.warehouse import Warehouse
from testing.certificates import Authority
from testing.databases import empty_database, make_tables
from testing.revisions import one

ELSEWHERE = "127.0.0.2"
"""The servers are reached by this address too, and their certificates are not for it."""
FAILED = "TLS failed: the certificate is not of the ssl_ca in DATABASE_URL, or for another host, or there is no TLS"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signs the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority."""
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


@pytest.fixture(scope="module")
def secure_database(ours: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database on a MariaDB that takes TLS only."""
    signed = ours.sign(HOST)
    options = [f"--ssl-cert={signed.certificate}", f"--ssl-key={signed.key}", "--bind-address=0.0.0.0"]
    folder = tmp_path_factory.mktemp("secure")
    with running(MARIADB, folder, options) as server, empty_database(server.url) as url:
        make_tables(url)
        admin = create_engine(database_url(url))
        with admin.connect() as connection:
            connection.exec_driver_sql("SET GLOBAL require_secure_transport = ON")
            yield url
            connection.exec_driver_sql("SET GLOBAL require_secure_transport = OFF")
        admin.dispose()


def cipher(url: str) -> str:
    """By what a connection to the warehouse is made unreadable for others."""
    warehouse = Warehouse(database_url(url))
    try:
        warehouse.generation()
        return str(
            one(
                warehouse.engine,
                "SELECT VARIABLE_VALUE FROM INFORMATION_SCHEMA.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'",
            )
        )
    finally:
        warehouse.close()


def test_a_database_connection_uses_tls_when_ssl_ca_is_set(secure_database: str, ours: Authority) -> None:
    assert cipher(f"{secure_database}?ssl_ca={ours.certificate}").startswith("TLS_")


def test_a_database_that_requires_tls_fails_with_the_option_to_set(secure_database: str) -> None:
    with pytest.raises(PermanentError, match=r"takes TLS only says the same: .* add \?ssl_ca="):
        cipher(secure_database)


def test_a_database_with_an_untrusted_certificate_is_refused(
    secure_database: str, ours: Authority, stranger: Authority
) -> None:
    elsewhere = secure_database.replace(HOST, ELSEWHERE)
    for url, authority in ((secure_database, stranger), (elsewhere, ours)):
        with pytest.raises(PermanentError, match=FAILED):
            cipher(f"{url}?ssl_ca={authority.certificate}")


def test_a_database_without_tls_is_refused_when_tls_is_requested(database: str, ours: Authority) -> None:
    with pytest.raises(PermanentError, match=FAILED):
        cipher(f"{database}?ssl_ca={ours.certificate}")


@pytest.fixture(scope="module")
def secure_s3(ours: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 that takes TLS only."""
    signed = ours.sign(HOST)

    def answers(port: int) -> bool:
        try:
            with socket.create_connection((HOST, port), timeout=2) as plain:
                ssl.create_default_context(cafile=ours.certificate).wrap_socket(plain, server_hostname=HOST).close()
        except OSError:
            return False
        return True

    kind = dataclasses.replace(S3, url="https://127.0.0.1:{port}", answers=answers)
    options = ["--ssl-cert", str(signed.certificate), "--ssl-key", str(signed.key)]
    with running(kind, tmp_path_factory.mktemp("s3"), options) as server:
        yield server.url


@pytest.mark.usefixtures("bare_environment")
def test_s3_uses_tls_and_an_untrusted_certificate_is_refused(
    secure_s3: str, ours: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"AWS_ENDPOINT_URL": secure_s3, "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in {**settings, "AWS_BUCKET": "km-data", "AWS_CA_BUNDLE": str(ours.certificate)}.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", region_name=load_settings().region).create_bucket(Bucket="km-data")
    assert list(Kmdb().bucket().objects()) == []
    monkeypatch.setenv("AWS_CA_BUNDLE", str(stranger.certificate))
    with pytest.raises(PermanentError, match=r"s3://km-data/: its TLS certificate is not trusted\. Set AWS_CA_BUNDLE"):
        list(Kmdb().bucket().objects())

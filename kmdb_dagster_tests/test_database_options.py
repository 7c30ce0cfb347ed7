"""DATABASE_URL: the spellings and options of kmdb, providers, Rails and JDBC."""

import pytest

from kmdb_dagster.settings import database_url


@pytest.mark.parametrize("scheme", ["mysql", "mysql2", "mysql+mysqldb", "mysql+pymysql", "mariadb"])
def test_database_urls_of_kmdb_and_other_tools_are_accepted(scheme: str) -> None:
    url = database_url(f"{scheme}://u:p%40%2Fss@db.example.com:3307/kmdb")
    assert url.drivername == "mysql+mysqldb"
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "u",
        "p@/ss",
        "db.example.com",
        3307,
        "kmdb",
    )
    assert url.query == {"charset": "utf8mb4"}


def test_rails_options_of_a_kmdb_url_are_dropped() -> None:
    url = database_url("mysql2://u@h/kmdb?encoding=utf8&pool=5&reconnect=true&ssl_ca=/ca.pem&charset=latin1")
    assert url.query == {"charset": "utf8mb4", "ssl_ca": "/ca.pem", "ssl_mode": "VERIFY_IDENTITY"}


CA = "/etc/ssl/certs/ca-certificates.crt"
VERIFIED = {"ssl_ca": CA, "ssl_mode": "VERIFY_IDENTITY"}


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ("timeout=5000", {}),
        ("useSSL=false&serverTimezone=UTC", {}),
        ("useSSL=false&useUnicode=true&characterEncoding=utf8&allowPublicKeyRetrieval=true", {}),
        ("connection_limit=5&pool_timeout=2", {}),
        ("charset=latin1&collation=utf8mb4_bin", {}),
        (f"sslca={CA}", VERIFIED),
        (f"ssl-ca={CA}&ssl-mode=REQUIRED", VERIFIED),
        (f"ssl_ca={CA}&sslmode=verify-ca", {"ssl_ca": CA, "ssl_mode": "VERIFY_CA"}),
        (f"sslca={CA}&sslverify=true&useSSL=true", VERIFIED),
        (f"ssl_ca={CA}&ssl_verify_cert=true&ssl_verify_identity=true", VERIFIED),
        (f"sslMode=VERIFY_IDENTITY&sslca={CA}&sslkey=/k&sslcert=/c", {**VERIFIED, "ssl_key": "/k", "ssl_cert": "/c"}),
        ("ssl_capath=/etc/ssl/certs", {"ssl_capath": "/etc/ssl/certs", "ssl_mode": "VERIFY_IDENTITY"}),
        ("sslMode=DISABLED", {"ssl_mode": "DISABLED"}),
        ("ssl-mode=disable", {"ssl_mode": "DISABLED"}),
        ("socket=/run/mysqld.sock&connectTimeout=5", {"unix_socket": "/run/mysqld.sock", "connect_timeout": "5"}),
        ("connectTimeout=5000", {"connect_timeout": "5"}),
    ],
)
def test_options_of_providers_rails_and_jdbc_are_equivalent(options: str, meant: dict[str, str]) -> None:
    assert database_url(f"mysql://u:p@h/d?{options}").query == {"charset": "utf8mb4", **meant}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ssl-mode=REQUIRED", "its option ssl-mode checks no certificate. Write ssl_ca=/etc/ssl/certs/"),
        ("sslmode=require", "its option sslmode checks no certificate. Write ssl_ca="),
        ("sslMode=PREFERRED", "its option sslMode checks no certificate. Write ssl_ca="),
        ("useSSL=true", "its option useSSL checks no certificate. Write ssl_ca="),
        ("sslaccept=strict", "its option sslaccept checks no certificate. Write ssl_ca="),
        (f"ssl_ca={CA}&sslverify=false", "its option sslverify contradicts ssl_ca"),
        ("sslcert=/c&sslkey=/k", "its option sslcert checks no certificate. Write ssl_ca="),
        ("connect_timeout=soon", "its option connect_timeout is not a number of seconds"),
        ("socketTimeout=5000", "its option socketTimeout .* KMDB_DATABASE_TIMEOUT_SECONDS"),
        ("sslca=a&sslca=b", "its option sslca is given twice"),
        ("init_command=SET+x", "its option init_command is not known. Remove it"),
        ("application_name=x", "its option application_name is not known. Remove it"),
    ],
)
def test_an_unsupported_option_is_an_error_with_the_replacement(options: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        database_url(f"mysql://u:p@h/d?{options}")


def test_localhost_with_a_port_uses_tcp() -> None:
    assert database_url("mysql://root@localhost:36831/kmdb").host == "127.0.0.1"
    assert database_url("mysql://root@localhost/kmdb").host == "localhost"


def test_a_jdbc_url_is_accepted() -> None:
    url = database_url("jdbc:mysql://u:p@db.example.com:3307/kmdb?useSSL=false")
    assert (url.host, url.port, url.database) == ("db.example.com", 3307, "kmdb")

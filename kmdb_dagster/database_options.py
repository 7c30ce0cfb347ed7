"""Parse DATABASE_URL, and map the options of Rails, JDBC, Prisma and hosting providers to those of mysqlclient.

An option with the same meaning is mapped, one without effect is dropped, any other is refused by its name.
Names are compared without case, ``-`` and ``_``: ``ssl-mode``, ``sslMode`` and ``ssl_mode`` are one option.
"""

import re
from collections.abc import Iterator, Mapping

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

RENAMED = {
    "compress": "compress",
    "connecttimeout": "connect_timeout",
    "localinfile": "local_infile",
    "readdefaultfile": "read_default_file",
    "readdefaultgroup": "read_default_group",
    "socket": "unix_socket",
    "sslca": "ssl_ca",
    "sslcapath": "ssl_capath",
    "sslcert": "ssl_cert",
    "sslcipher": "ssl_cipher",
    "sslkey": "ssl_key",
    "sslmode": "ssl_mode",
    "unixsocket": "unix_socket",
}
"""Options of mysqlclient, by the names that other programs give them."""

WITHOUT_EFFECT = {
    *("encoding", "charset", "collation", "pool", "reconnect", "timeout", "checkouttimeout", "idletimeout"),
    *("preparedstatements", "adapter", "strict"),
    *("servertimezone", "connectiontimezone", "useunicode", "characterencoding", "autoreconnect", "usebulkstmts"),
    *("zerodatetimebehavior", "allowpublickeyretrieval", "rewritebatchedstatements", "uselegacydatetimecode"),
    *("usejdbccomplianttimezoneshift", "allowmultiqueries", "tinyint1isbit", "cacheprepstmts", "useserverprepstmts"),
    *("connectionlimit", "pooltimeout", "parsetime", "loc", "useaffectedrows", "usecompression"),
}
"""Options for connection pools and types of other programs. A session always uses UTC and utf8mb4."""

TLS_SWITCHES = {"usessl", "requiressl", "ssl", "tls", "sslverify", "verifyservercertificate", "sslaccept"}
TLS_SWITCHES |= {"sslverifycert", "sslverifyidentity", "sslrejectunauthorized"}
OFF = {"0", "false", "no", "off", "disable", "disabled", "none"}
VERIFYING_MODES = {
    "verifyca": "VERIFY_CA",
    "verifyidentity": "VERIFY_IDENTITY",
    "verifyfull": "VERIFY_IDENTITY",
}
READ_TIMEOUTS = {"readtimeout", "writetimeout", "sockettimeout"}

MIN_MILLISECONDS = 1000

ADVICE_SSL_CA = (
    "checks no certificate. Write ssl_ca=/etc/ssl/certs/ca-certificates.crt in its place, or the file of your "
    "provider's CA certificate: this requires TLS and the right certificate"
)


def database_url(text: str) -> URL:
    """Return SQLAlchemy's URL for a database URL of Rails, JDBC, a hosting provider or SQLAlchemy itself.

    Raises:
        ValueError: It is not the URL of a MySQL database. The message never quotes the URL.
    """
    expected = "expected mysql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        url = make_url(text.removeprefix("jdbc:"))
    except (ArgumentError, ValueError):  # SQLAlchemy's message may quote a password
        raise ValueError(expected) from None
    if url.drivername.partition("+")[0] not in {"mysql", "mysql2", "mariadb"} or not url.database:
        raise ValueError(expected)
    if "@" in text.partition("?")[2]:
        raise ValueError(f"{expected}, the password URL-encoded (? is %3F)")
    options = {**client_options(url.query), "charset": "utf8mb4"}
    # mysqlclient connects to `localhost` through the socket, even if there is a port.
    host = "127.0.0.1" if url.host == "localhost" and url.port else url.host
    return url.set(drivername="mysql+mysqldb", host=host, query=options)


def client_options(given: Mapping[str, str | tuple[str, ...]]) -> dict[str, str]:
    """Return the options of mysqlclient for the options of a URL.

    Raises:
        ValueError: An option cannot be mapped. The message names it and what to write, and never its value.
    """
    plain = {name: _only(name, value) for name, value in given.items()}
    options = dict(_mapped(plain))
    mode = next((name for name in plain if _bare(name) == "sslmode"), None)
    if _names_authority(plain):
        options["ssl_mode"] = VERIFYING_MODES.get(_bare(options.get("ssl_mode", "")), "VERIFY_IDENTITY")
    elif mode:
        options["ssl_mode"] = _mode(mode, options["ssl_mode"])
    elif own := next((name for name in plain if _bare(name) in {"sslcert", "sslkey", "sslcipher"}), None):
        raise ValueError(f"its option {own} {ADVICE_SSL_CA}")
    return options


def _names_authority(given: Mapping[str, str]) -> bool:
    return any(_bare(name) in {"sslca", "sslcapath"} for name in given)


def _only(name: str, value: str | tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its option {name} is given twice")  # noqa: TRY004 - of the URL's text
    return value


def _mapped(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    has_ca = _names_authority(given)
    for name, value in given.items():
        bare = _bare(name)
        if bare in WITHOUT_EFFECT:
            continue
        if bare in TLS_SWITCHES:
            _check_switch(name, value, has_ca=has_ca)
        elif bare in READ_TIMEOUTS:
            raise ValueError(f"its option {name} is not known here. Remove it, and set KMDB_DATABASE_TIMEOUT_SECONDS")
        elif bare in RENAMED:
            yield RENAMED[bare], _seconds(name, value) if bare == "connecttimeout" else value
        else:
            raise ValueError(f"its option {name} is not known. Remove it. Known: {', '.join(sorted(RENAMED.values()))}")


def _check_switch(name: str, value: str, *, has_ca: bool) -> None:
    """Refuse a switch that weakens TLS or has no effect. Certificates are checked with ssl_ca, and only then."""
    off = value.lower() in OFF
    if has_ca and off:
        raise ValueError(f"its option {name} contradicts ssl_ca. Remove one of them")
    if not has_ca and not off:
        raise ValueError(f"its option {name} {ADVICE_SSL_CA}")


def _mode(name: str, value: str) -> str:
    if value.lower() in OFF:
        return "DISABLED"
    # For MariaDB's client REQUIRED means: only if the server supports TLS.
    if _bare(value) not in VERIFYING_MODES:
        raise ValueError(f"its option {name} {ADVICE_SSL_CA}")
    return VERIFYING_MODES[_bare(value)]


def _seconds(name: str, value: str) -> str:
    """Return a timeout in seconds. JDBC counts in milliseconds, and no timeout exceeds a quarter of an hour."""
    if not re.fullmatch(r"[1-9]\d{0,6}", value):
        raise ValueError(f"its option {name} is not a number of seconds")
    return value if int(value) < MIN_MILLISECONDS else str(-(-int(value) // 1000))


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

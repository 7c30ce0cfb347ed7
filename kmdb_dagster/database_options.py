"""The options of DATABASE_URL: those of Rails, JDBC, Prisma and hosting providers as the options of mysqlclient.

An option is mapped if it means the same there, dropped if it does not matter here, and refused by its name otherwise.
Names count without case, ``-`` and ``_``: ``ssl-mode``, ``sslMode`` and ``ssl_mode`` are one option.
"""

import re
from collections.abc import Iterator, Mapping

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
"""Options of mysqlclient, by the names that are in use for them."""

WITHOUT_EFFECT = {
    *("encoding", "charset", "collation", "pool", "reconnect", "timeout", "checkouttimeout", "idletimeout"),
    *("preparedstatements", "adapter", "strict"),
    *("servertimezone", "connectiontimezone", "useunicode", "characterencoding", "autoreconnect", "usebulkstmts"),
    *("zerodatetimebehavior", "allowpublickeyretrieval", "rewritebatchedstatements", "uselegacydatetimecode"),
    *("usejdbccomplianttimezoneshift", "allowmultiqueries", "tinyint1isbit", "cacheprepstmts", "useserverprepstmts"),
    *("connectionlimit", "pooltimeout", "parsetime", "loc", "useaffectedrows", "usecompression"),
}
"""Options of other programs' pools and types. Sessions are in UTC and utf8mb4 whatever they say."""

TLS_SWITCHES = {"usessl", "requiressl", "ssl", "tls", "sslverify", "verifyservercertificate", "sslaccept"}
TLS_SWITCHES |= {"sslverifycert", "sslverifyidentity", "sslrejectunauthorized"}
OFF = {"0", "false", "no", "off", "disable", "disabled", "none"}
CHECKED = {
    "verifyca": "VERIFY_CA",
    "verifyidentity": "VERIFY_IDENTITY",
    "verifyfull": "VERIFY_IDENTITY",
}
TIMEOUTS = {"readtimeout", "writetimeout", "sockettimeout"}

MIN_MILLISECONDS = 1000

NAME_A_CA = (
    "checks no certificate. Write ssl_ca=/etc/ssl/certs/ca-certificates.crt in its place, or the file of your "
    "provider's CA certificate: this requires TLS and the right certificate"
)


def client_options(given: Mapping[str, str | tuple[str, ...]]) -> dict[str, str]:
    """The options of mysqlclient that these options of a URL mean.

    Raises:
        ValueError: one cannot be mapped. It names the option and what to write, and never its value.
    """
    plain = {name: _only(name, value) for name, value in given.items()}
    options = dict(_mapped(plain))
    mode = next((name for name in plain if _bare(name) == "sslmode"), None)
    if _names_authority(plain):
        options["ssl_mode"] = CHECKED.get(_bare(options.get("ssl_mode", "")), "VERIFY_IDENTITY")
    elif mode:
        options["ssl_mode"] = _mode(mode, options["ssl_mode"])
    elif own := next((name for name in plain if _bare(name) in {"sslcert", "sslkey", "sslcipher"}), None):
        raise ValueError(f"its option {own} {NAME_A_CA}")
    return options


def _names_authority(given: Mapping[str, str]) -> bool:
    return any(_bare(name) in {"sslca", "sslcapath"} for name in given)


def _only(name: str, value: str | tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its option {name} is there twice")  # noqa: TRY004 - of the URL's text
    return value


def _mapped(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    has_ca = _names_authority(given)
    for name, value in given.items():
        bare = _bare(name)
        if bare in WITHOUT_EFFECT:
            continue
        if bare in TLS_SWITCHES:
            _check_switch(name, value, has_ca=has_ca)
        elif bare in TIMEOUTS:
            raise ValueError(f"its option {name} is not known here. Remove it, and set KMDB_DATABASE_TIMEOUT_SECONDS")
        elif bare in RENAMED:
            yield RENAMED[bare], _seconds(name, value) if bare == "connecttimeout" else value
        else:
            raise ValueError(f"its option {name} is not known. Remove it. Known: {', '.join(sorted(RENAMED.values()))}")


def _check_switch(name: str, value: str, *, has_ca: bool) -> None:
    """Refuse a switch that would weaken or only seem to give TLS. With ssl_ca all is checked, without it nothing is."""
    off = value.lower() in OFF
    if has_ca and off:
        raise ValueError(f"its option {name} turns off what ssl_ca asks for. Remove one of them")
    if not has_ca and not off:
        raise ValueError(f"its option {name} {NAME_A_CA}")


def _mode(name: str, value: str) -> str:
    if value.lower() in OFF:
        return "DISABLED"
    # MariaDB's client takes REQUIRED to mean: if the server has it.
    if _bare(value) not in CHECKED:
        raise ValueError(f"its option {name} {NAME_A_CA}")
    return CHECKED[_bare(value)]


def _seconds(name: str, value: str) -> str:
    """JDBC counts milliseconds: a connection is not waited for longer than a quarter of an hour."""
    if not re.fullmatch(r"[1-9]\d{0,6}", value):
        raise ValueError(f"its option {name} is no number of seconds")
    return value if int(value) < MIN_MILLISECONDS else str(-(-int(value) // 1000))


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

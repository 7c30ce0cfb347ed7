"""Errors of MySQL, MariaDB, Galera and ProxySQL by number: transient or permanent, and in words what to do.

The driver's own text quotes values ("Duplicate entry 'bob@…'"), so none of it goes further. Sources: MySQL 8.4 Error
Message Reference; MariaDB Error Code Reference; ProxySQL's error codes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import MySQLdb
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from kmdb_dagster.errors import PermanentError, TransientError

LOCK_WAIT_TIMEOUT = 1205
PACKET_TOO_LARGE = 1153
ACCESS_DENIED = 1045
NOT_READY = 1047
SOCKET_UNREACHABLE = 2002

READ_ONLY = (
    "the server is read-only: in maintenance, or a replica since a failover. If it stays so, check that DATABASE_URL "
    "names the primary"
)
UNREACHABLE = "the server cannot be reached"
NO_SOCKET = "the server cannot be reached by its socket. For TCP write 127.0.0.1 in place of localhost in DATABASE_URL"
LOST = "the connection was lost, or the server did not answer for as long as KMDB_DATABASE_TIMEOUT_SECONDS allows"
TIME_LIMIT = (
    "a time limit for statements ended this one. Remove it for this user: max_statement_time on MariaDB, "
    "max_execution_time on MySQL"
)
REFUSED_LOGIN = "the server refuses this user or password: see DATABASE_URL"
OR_TLS = (
    ". A server that takes TLS only says the same: if the password is right, add "
    "?ssl_ca=/etc/ssl/certs/ca-certificates.crt to DATABASE_URL"
)
"""MariaDB has one error for both (`require_secure_transport`); MySQL has 3159."""
MIGRATE = "run `kmdb migrate`"
GRANTS = "see the grants in docs/how-to/set-up.md"

NOT_PRIMARY = {
    NOT_READY: "the node is not ready (it joins its Galera cluster), or a proxy refuses the command",
    1290: READ_ONLY,
    1792: READ_ONLY,
    1836: READ_ONLY,
    3032: "the server is in offline mode",
    3168: "the server is not available",
}
"""Transient, and the connection is dropped: the next one may reach another server behind the same name."""

TRANSIENT = {
    **NOT_PRIMARY,
    1020: "the row changed meanwhile",
    1040: "the server has too many connections",
    1041: "the server is out of memory",
    1053: "the server is shutting down",
    1158: "the connection broke",
    1159: "the connection timed out",
    1160: "the connection broke",
    1161: "the connection timed out",
    1176: "an index is missing: run `kmdb index build`",
    1180: "the commit failed",
    1203: "this user has too many connections",
    LOCK_WAIT_TIMEOUT: "waited too long for a lock",
    1213: "deadlock",
    1226: "this user has reached a limit of the server (max_user_connections, MAX_QUERIES_PER_HOUR …): raise it",
    1317: "the statement was interrupted (KILL QUERY)",
    1412: "the table's partitions changed meanwhile",
    1684: "the table's partitions are being changed",
    1927: "the connection was killed",
    SOCKET_UNREACHABLE: UNREACHABLE,
    2003: UNREACHABLE,
    2005: "the server's name is not known",
    2006: "the connection is gone",
    2012: UNREACHABLE,
    2013: LOST,
    2014: "the connection lost its place",
    2027: "the connection broke",
    2055: LOST,
    3100: "the server's group cannot commit now",
    3101: "the server's group rolled the transaction back",
    3169: "the session was killed",
    4031: "the server closed an idle connection",
    9001: "the proxy (ProxySQL) cannot reach the server",
    9002: "the proxy (ProxySQL) cannot reach the server",
}
"""Errors that pass by themselves."""

PERMANENT = {
    1021: "the server's disk is full",
    1044: f"this user may not use this database: {GRANTS}",
    ACCESS_DENIED: REFUSED_LOGIN,
    1049: "there is no such database: see DATABASE_URL, or create it",
    1054: f"a column is missing: {MIGRATE}",
    1114: "a table or its disk is full",
    1129: "the server blocks this machine after failed connections. Run `mariadb-admin flush-hosts` (or `mysqladmin`)",
    1130: "the server lets no user in from this machine. Create the user for its address, e.g. 'kmdb'@'10.0.0.%'",
    1142: f"this user lacks a right: {GRANTS}",
    1143: f"this user lacks a right on a column: {GRANTS}",
    1146: f"a table is missing: {MIGRATE}",
    PACKET_TOO_LARGE: "a value is larger than the server's max_allowed_packet: raise it",
    1227: f"this user lacks a right: {GRANTS}",
    1251: "the client cannot log in as this user asks for. Create the user with another authentication plugin",
    1665: "the server's binlog_format is STATEMENT, which cannot take READ COMMITTED. Set binlog_format = ROW",
    1698: "the server refuses this user without its own log-in method: see DATABASE_URL",
    1969: TIME_LIMIT,
    2026: ("TLS failed: the certificate is not of the ssl_ca in DATABASE_URL, or for another host, or there is no TLS"),
    2059: "the client lacks the authentication plugin of this user. Create the user with another one",
    2061: "the client cannot log in as this user asks for. Create the user with another authentication plugin",
    3024: TIME_LIMIT,
    3159: "the server takes TLS only: name its ssl_ca in DATABASE_URL",
}
"""Errors that stay until a person changes something."""

UNKNOWN = "the server refused a statement. Nothing was changed by it. Look the number up in the server's manual"


@contextmanager
def translate_mysql_errors(engine: Engine) -> Iterator[None]:
    """Translate the driver's errors into transient and permanent ones, without their text.

    Raises:
        TransientError: trying again may help.
        PermanentError: a person must change something, or it is a defect.
    """
    try:
        yield
    # SQLAlchemy does not wrap the driver's errors while it opens a connection or changes it to autocommit.
    except (DBAPIError, MySQLdb.Error) as error:
        number = error_number(error)
        if number in NOT_PRIMARY:
            engine.dispose()
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        place = f"Database {engine.url.database!r} on {engine.url.host or 'localhost'}"
        if number in TRANSIENT or lost:
            words = NO_SOCKET if number == SOCKET_UNREACHABLE and _uses_socket(engine) else TRANSIENT.get(number, LOST)
            raise TransientError(f"{place}: {words} ({number}).") from None
        words = PERMANENT.get(number, UNKNOWN)
        if number == ACCESS_DENIED and "ssl_ca" not in engine.url.query:
            words += OR_TLS
        raise PermanentError(f"{place}: {words} (MySQL error {number}).") from None


def _uses_socket(engine: Engine) -> bool:
    return engine.url.host in {None, "localhost"} and "unix_socket" not in engine.url.query


def error_number(error: Exception) -> int:
    """Return MySQL's number of an error of the driver or SQLAlchemy; 0 if it has none."""
    arguments = getattr(getattr(error, "orig", error), "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0

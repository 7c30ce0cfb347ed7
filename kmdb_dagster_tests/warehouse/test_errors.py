"""Translation of the driver's errors, without personal data."""

import os
import traceback
from collections.abc import Callable, Iterator

import MySQLdb
import pytest
from sqlalchemy import Engine, text

from dev.processes import free_port
from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.connection.mysql_errors import NOT_PRIMARY, PERMANENT, TRANSIENT
from kmdb_dagster.warehouse.connection.server import autocommit, connect, server_of, transaction
from kmdb_dagster.warehouse.connection.streams import stream
from testing.revisions import change, one

pytestmark = pytest.mark.xdist_group("infile")  # some change settings of the server, which the others meet

MARKED = "marked.person@example.com"
INSERT = "INSERT INTO users (name, digest) VALUES (:name, :digest)"


def told(engine: Engine, statement: str, **parameters: object) -> KmdbError:
    """The error of a statement, once it was seen to keep quiet about the person."""
    with pytest.raises(KmdbError) as caught, transaction(engine) as connection:
        connection.execute(text(statement), parameters)
    assert MARKED not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value


def told_of_a_stream(engine: Engine, statement: str) -> KmdbError:
    """The same, of a result that is read as it comes."""
    with pytest.raises(KmdbError) as caught, transaction(engine) as connection:
        list(stream(connection, statement))
    assert MARKED not in "".join(traceback.format_exception(caught.value))
    return caught.value


PROVOKED: dict[str, Callable[[Engine], KmdbError]] = {
    "duplicate": lambda engine: told(engine, "INSERT INTO marked VALUES (:name)", name=MARKED),
    "too long": lambda engine: told(engine, "INSERT INTO marked VALUES (:name)", name=MARKED * 2),
    "unknown table": lambda engine: told(engine, f"DELETE FROM `{MARKED}`"),  # noqa: S608 - ours
    "unknown column": lambda engine: told(engine, f"SELECT `{MARKED}` FROM users"),  # noqa: S608 - ours
    "syntax": lambda engine: told(engine, f"SELECT {MARKED} FROM FROM"),  # noqa: S608 - ours
    "wrong kind of value": lambda engine: told(engine, "INSERT INTO user_map VALUES (1, :name)", name=MARKED),
    "unknown column, in a stream": lambda engine: told_of_a_stream(engine, f"SELECT `{MARKED}` FROM users"),  # noqa: S608
    "null": lambda engine: told(engine, INSERT, name=MARKED, digest=None),
}


@pytest.mark.parametrize("how", PROVOKED)
def test_an_error_that_quotes_a_value_is_reported_without_it(engine: Engine, how: str) -> None:
    change(engine, "CREATE TABLE marked (name VARCHAR(30) PRIMARY KEY)", f"INSERT INTO marked VALUES ('{MARKED}')")  # noqa: S608
    error = PROVOKED[how](engine)
    assert isinstance(error, PermanentError)
    assert f"Database '{engine.url.database}' on" in str(error)
    assert "MySQL error" in str(error)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT 1 FROM nowhere", "a table is missing: run `kmdb migrate`"),
        ("SELECT nothing FROM users", "a column is missing: run `kmdb migrate`"),
        ("SELECT 1 FROM nowhere.users", "a table is missing|a right|no such database"),
    ],
)
def test_an_error_that_an_operator_can_repair_has_the_remedy(engine: Engine, statement: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words), transaction(engine) as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("how", [transaction, autocommit])
def test_an_unreachable_server_is_transient(how: Callable[[Engine], "object"]) -> None:
    engine = connect(database_url(f"mysql://marked:secret@127.0.0.1:{free_port(0)}/kmdb"))
    with pytest.raises(TransientError, match="the server cannot be reached") as caught, how(engine):  # type: ignore[attr-defined]  # both are context managers
        pass
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_localhost_without_a_socket_says_how_to_use_tcp() -> None:
    engine = connect(database_url("mysql://root@localhost/kmdb"))
    with pytest.raises(TransientError) as caught, transaction(engine):
        raise MySQLdb.OperationalError(2002, MARKED)
    assert "For TCP write 127.0.0.1 in place of localhost" in str(caught.value)


def test_an_error_of_the_driver_itself_is_translated(engine: Engine) -> None:
    with pytest.raises(TransientError, match=r"the connection was lost, .* \(2013\)") as caught, transaction(engine):
        raise MySQLdb.OperationalError(2013, MARKED)
    assert MARKED not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_password_is_permanent(server_url: str) -> None:
    url = database_url(server_url.replace("root@", "nobody_known:secret@") + "/mysql")
    with pytest.raises(PermanentError, match="see DATABASE_URL") as caught, transaction(connect(url)):
        pass
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_deadlock_is_transient(engine: Engine) -> None:
    with pytest.raises(TransientError, match=r"deadlock \(1213\)"), transaction(engine) as connection:
        connection.execute(text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'x'"))


SERVER_SENDS = {*TRANSIENT, *PERMANENT} - set(range(2000, 3000))
"""The numbers from 2000 to 2999 are the client's own."""


def signalled(engine: Engine, number: int) -> KmdbError:
    """The error of a statement that the server answers with this number."""
    return told(engine, f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{MARKED}'")


@pytest.mark.parametrize("number", sorted(SERVER_SENDS))
def test_each_listed_error_has_its_kind_and_text(engine: Engine, number: int) -> None:
    error = signalled(engine, number)
    assert isinstance(error, TransientError) == (number in TRANSIENT)
    assert (TRANSIENT.get(number) or PERMANENT[number]) in str(error)
    assert str(number) in str(error)


def test_no_error_is_both_transient_and_permanent() -> None:
    assert not TRANSIENT.keys() & PERMANENT.keys()


def test_an_unknown_error_is_permanent_with_its_number(engine: Engine) -> None:
    error = signalled(engine, 1999)
    assert isinstance(error, PermanentError)
    assert "Nothing was changed by it" in str(error)
    assert "1999" in str(error)


def connection_id(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())


@pytest.mark.parametrize("number", sorted(NOT_PRIMARY))
def test_a_read_only_server_is_left_for_a_new_connection(engine: Engine, number: int) -> None:
    before = connection_id(engine)
    signalled(engine, number)
    assert connection_id(engine) != before


def test_after_a_deadlock_the_connection_is_kept(engine: Engine) -> None:
    before = connection_id(engine)
    signalled(engine, 1213)
    assert connection_id(engine) == before


@pytest.fixture
def limited(engine: Engine) -> Iterator[Engine]:
    """Connections of a user with the rights of an import and no more."""
    user = f"limited_{os.getpid()}"
    limit = " WITH MAX_STATEMENT_TIME 1" if is_maria(engine) else ""
    change(engine, f"CREATE USER '{user}'@'%' IDENTIFIED BY 'x'{limit}")
    change(engine, f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{engine.url.database}`.* TO '{user}'@'%'")
    opened = connect(engine.url.set(username=user, password="x"))  # noqa: S106 - of a test
    yield opened
    opened.dispose()
    change(engine, f"DROP USER '{user}'@'%'")


def is_maria(engine: Engine) -> bool:
    with engine.connect() as connection:
        return server_of(connection).maria


def test_a_read_only_server_is_waited_for(engine: Engine, limited: Engine) -> None:
    change(engine, "SET GLOBAL read_only = ON")
    try:
        error = told(limited, "INSERT INTO user_map VALUES (1, 1)")
    finally:
        change(engine, "SET GLOBAL read_only = OFF")
    assert isinstance(error, TransientError)
    assert "read-only: in maintenance, or a replica since a failover" in str(error)
    change(limited, "INSERT INTO user_map VALUES (1, 1)")


def test_a_time_limit_of_the_server_does_not_apply_to_our_sessions(engine: Engine, limited: Engine) -> None:
    variable = "max_statement_time" if is_maria(engine) else "max_execution_time"
    before = one(engine, f"SELECT @@GLOBAL.{variable}")
    change(engine, f"SET GLOBAL {variable} = 100000")
    try:
        assert one(limited, f"SELECT @@SESSION.{variable}") == 0
        assert one(limited, "SELECT SLEEP(1.5)") == 0
    finally:
        change(engine, f"SET GLOBAL {variable} = {before}")


def test_an_error_rolls_back_the_transaction(engine: Engine) -> None:
    inserted = "INSERT INTO user_map VALUES (1, 1)"
    with pytest.raises(PermanentError), transaction(engine) as connection:
        assert [connection.execute(text(statement)) for statement in (inserted, "SELECT 1 FROM nowhere")]
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM user_map")).scalar() == 0


@pytest.mark.parametrize("value", ["2014-02-30 00:00:00", "0000-00-00 00:00:00", "10000-01-01", "words"])
def test_a_value_that_does_not_fit_is_refused_and_never_truncated(engine: Engine, value: str) -> None:
    with pytest.raises(PermanentError), transaction(engine) as connection:
        connection.execute(text("INSERT INTO events VALUES (1, :t, 1, 1, 1)"), {"t": value})


def test_sessions_are_in_utc_and_read_committed(engine: Engine) -> None:
    for opened in (transaction, autocommit, transaction):
        with opened(engine) as connection:
            assert connection.exec_driver_sql("SELECT @@session.time_zone").scalar() == "+00:00"
            assert connection.get_isolation_level() in {"READ COMMITTED", "AUTOCOMMIT"}

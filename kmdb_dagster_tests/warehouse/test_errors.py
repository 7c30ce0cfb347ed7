"""The driver's errors, as our own and without anything of a person."""

import traceback
from collections.abc import Callable

import MySQLdb
import pytest
from sqlalchemy import Engine, text

from dev.processes import free_port
from kmdb_dagster.errors import KmdbError, PermanentError, TransientError
from kmdb_dagster.settings import database_url
from kmdb_dagster.warehouse.server import autocommit, connect, transaction
from kmdb_dagster.warehouse.streams import stream
from kmdb_dagster_tests.warehouse.revisions import change

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
def test_an_error_that_quotes_a_person_is_told_without_it(engine: Engine, how: str) -> None:
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
def test_an_error_that_a_person_can_mend_says_how(engine: Engine, statement: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words), transaction(engine) as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("how", [transaction, autocommit])
def test_a_server_that_is_not_there_may_come_back(how: Callable[[Engine], "object"]) -> None:
    engine = connect(database_url(f"mysql://marked:secret@127.0.0.1:{free_port(0)}/kmdb"))
    with pytest.raises(TransientError, match="the server cannot be reached") as caught, how(engine):  # type: ignore[attr-defined]  # both are context managers
        pass
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_an_error_of_the_driver_itself_is_told_like_all_others(engine: Engine) -> None:
    with pytest.raises(TransientError, match=r"the connection was lost \(2013\)") as caught, transaction(engine):
        raise MySQLdb.OperationalError(2013, MARKED)
    assert MARKED not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_password_does_not_pass_by_itself(server_url: str) -> None:
    url = database_url(server_url.replace("root@", "nobody_known:secret@") + "/mysql")
    with pytest.raises(PermanentError, match="see DATABASE_URL") as caught, transaction(connect(url)):
        pass
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_deadlock_may_go_well_another_time(engine: Engine) -> None:
    with pytest.raises(TransientError, match=r"deadlock \(1213\)"), transaction(engine) as connection:
        connection.execute(text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'x'"))


@pytest.mark.parametrize("number", [1205, 1317, 1203, 1040])
def test_what_passes_by_itself_is_told_from_what_does_not(engine: Engine, number: int) -> None:
    with pytest.raises(TransientError, match=rf"\({number}\)"), transaction(engine) as connection:
        connection.execute(text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'x'"))


def test_what_was_done_before_an_error_is_undone(engine: Engine) -> None:
    inserted = "INSERT INTO user_map VALUES (1, 1)"
    with pytest.raises(PermanentError), transaction(engine) as connection:
        assert [connection.execute(text(statement)) for statement in (inserted, "SELECT 1 FROM nowhere")]
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM user_map")).scalar() == 0


@pytest.mark.parametrize("value", ["2014-02-30 00:00:00", "0000-00-00 00:00:00", "10000-01-01", "words"])
def test_a_value_that_does_not_fit_is_refused_and_never_cut(engine: Engine, value: str) -> None:
    with pytest.raises(PermanentError), transaction(engine) as connection:
        connection.execute(text("INSERT INTO events VALUES (1, :t, 1, 1, 1)"), {"t": value})


def test_sessions_are_in_utc_and_see_what_others_commit(engine: Engine) -> None:
    for opened in (transaction, autocommit, transaction):
        with opened(engine) as connection:
            assert connection.exec_driver_sql("SELECT @@session.time_zone").scalar() == "+00:00"
            assert connection.get_isolation_level() in {"READ COMMITTED", "AUTOCOMMIT"}

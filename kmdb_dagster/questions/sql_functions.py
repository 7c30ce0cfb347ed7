"""SQL functions of questions that MySQL and DuckDB write differently: a question runs on either.

Each is compiled for the server by default, and for the columnar copy by `duckdb_sql`. Add a function here when a
question needs one that is not the same in both.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Float,
    Integer,
    SQLColumnExpression,
    and_,
    case,
    func,
    literal,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from kmdb_dagster.columnar.duckdb_sql import DUCKDB
from kmdb_dagster.questions.segment import NUMBER

MAX_NUMBER_CHARACTERS = 40
SECONDS_PER_DAY = 86_400
DAYS_BEFORE_1970 = 719_528
"""TO_DAYS('1970-01-01')."""


class seconds_of(FunctionElement[int]):  # noqa: N801 - reads as a function of SQL
    """A time as seconds since 1970, for all years."""

    type = Integer()
    inherit_cache = True


@compiles(seconds_of)
def _seconds_of(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    # UNIX_TIMESTAMP does not work before 1970, nor, on MariaDB, after 2038.
    return f"TIMESTAMPDIFF(SECOND, '1970-01-01', {compiler.process(element.clauses, **options)})"


@compiles(seconds_of, DUCKDB)
def _seconds_of_in_duckdb(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    return f"(epoch_us({compiler.process(element.clauses, **options)}) // 1000000)"


class period_of(FunctionElement[int]):  # noqa: N801 - as above
    """The period that a time is in, from 0: ``period_of(t, start, every)``, in seconds since 1970 and in seconds."""

    type = Integer()
    inherit_cache = True

    def __init__(self, t: SQLColumnExpression[Any], start: int, every: int) -> None:
        super().__init__(t, literal(start), literal(every))


@compiles(period_of)
def _period_of(element: period_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    t, start, every = element.clauses
    column = compiler.process(t, **options)
    if start.value % SECONDS_PER_DAY == every.value % SECONDS_PER_DAY == 0:
        # Grouping by whole days takes the server a third less time than by seconds.
        first_day = DAYS_BEFORE_1970 + start.value // SECONDS_PER_DAY
        return f"(TO_DAYS({column}) - {first_day}) DIV {every.value // SECONDS_PER_DAY}"
    return f"(TIMESTAMPDIFF(SECOND, '1970-01-01', {column}) - {start.value}) DIV {every.value}"


@compiles(period_of, DUCKDB)
def _period_of_in_duckdb(element: period_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    t, start, every = element.clauses
    # Microseconds, because one division takes a third less time than two.
    return f"((epoch_us({compiler.process(t, **options)}) - {start.value * 1_000_000}) // {every.value * 1_000_000})"


class number_of(FunctionElement[float]):  # noqa: N801 - as above
    """A value as a double, NULL if it is not a number."""

    type = Float()
    inherit_cache = True


@compiles(number_of)
def _number_of(element: number_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    (value,) = element.clauses
    # The server's $ matches before a newline at the end too.
    ends_so = func.right(value, 1).regexp_match("[0-9.]")
    is_number = and_(func.char_length(value) <= MAX_NUMBER_CHARACTERS, value.regexp_match(NUMBER), ends_so)
    number: ColumnElement[Any] = case((is_number, value.op("+")(literal_column("0e0"))))
    return compiler.process(number, **options)


@compiles(number_of, DUCKDB)
def _number_of_in_duckdb(element: number_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    value = compiler.process(element.clauses, **options)
    is_number = f"length({value}) <= {MAX_NUMBER_CHARACTERS} AND regexp_matches({value}, '{NUMBER}')"
    return f"CASE WHEN {is_number} THEN {value}::DOUBLE END"


class contains_text(FunctionElement[bool]):  # noqa: N801 - as above
    """Whether a value contains a text, compared exactly: ``contains_text(value, text)``."""

    type = Boolean()
    inherit_cache = True


@compiles(contains_text)
def _contains_text(element: contains_text, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    value, text = (compiler.process(clause, **options) for clause in element.clauses)
    return f"LOCATE({text}, {value}) > 0"


@compiles(contains_text, DUCKDB)
def _contains_text_in_duckdb(element: contains_text, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    return f"contains({compiler.process(element.clauses, **options)})"

"""Values of properties as numbers, in SQL. What is not a number is NULL."""

from typing import Any

from sqlalchemy import ColumnElement, Float, SQLColumnExpression, and_, case, func, literal_column, type_coerce

from kmdb_dagster.questions.segment import NUMBER

MAX_NUMBER_CHARACTERS = 40


def number_of(value: SQLColumnExpression[Any]) -> ColumnElement[float]:
    """Return SQL for a value as a double, NULL if it is not a number."""
    is_number = and_(func.char_length(value) <= MAX_NUMBER_CHARACTERS, value.regexp_match(NUMBER))
    return type_coerce(case((is_number, value.op("+")(literal_column("0e0")))), Float)

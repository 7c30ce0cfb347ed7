"""The root of the table classes."""

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The root of the classes."""

"""What this database is: its generation, its bucket and its data folders."""

from datetime import datetime

from sqlalchemy import BINARY, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from kmdb_dagster.warehouse.schema.tables.base import Base


class WarehouseState(Base):
    """One row. Its lock keeps ids in force: see `warehouse.identity.map_lock`."""

    __tablename__ = "warehouse_state"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    generation: Mapped[str] = mapped_column(Text)
    """Changes with every flush: ids handed out before it mean nothing any more."""
    facts_from: Mapped[datetime | None]
    """Facts before it were dropped, and are not loaded again. None: all are kept."""


class Binding(Base):
    """One row: what this database is, and which bucket it belongs to. See `warehouse.connection.bindings`."""

    __tablename__ = "bindings"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    database_id: Mapped[bytes] = mapped_column(BINARY(16))
    """A random number, which the data folders of this database hold, too."""
    created_at: Mapped[datetime]
    """Since then ``data_folders`` has every folder to which Parquet is written."""
    folders_confirmed: Mapped[bool]
    """`kmdb confirm data-dir` was run, so ``data_folders`` has the folders from before as well."""
    bucket: Mapped[str | None] = mapped_column(Text)
    """Where the export is: ``s3://name``, or a folder. None: nothing was imported yet."""
    bucket_bound_at: Mapped[datetime | None]


class DataFolder(Base):
    """A folder that holds raw files and Parquet of this database."""

    __tablename__ = "data_folders"

    id: Mapped[bytes] = mapped_column(BINARY(16), primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    """The machine that used it last."""
    path: Mapped[str] = mapped_column(Text)
    used_at: Mapped[datetime]


class SearchedFolder(Base):
    """A data folder that was searched for an identity whose erasure is not complete yet."""

    __tablename__ = "searched_folders"

    digest: Mapped[bytes] = mapped_column(BINARY(32), primary_key=True)
    folder_id: Mapped[bytes] = mapped_column(BINARY(16), primary_key=True)

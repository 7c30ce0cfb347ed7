"""Fixtures of the tests of the warehouse."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmdb_dagster.warehouse import Warehouse
from testing.revisions import Revisions


@pytest.fixture
def engine(warehouse: Warehouse) -> Engine:
    """The connection to this test's own warehouse."""
    return warehouse.engine


@pytest.fixture
def revisions(warehouse: Warehouse, tmp_path: Path) -> Revisions:
    """Puts revisions into this test's own warehouse."""
    return Revisions(warehouse, tmp_path)

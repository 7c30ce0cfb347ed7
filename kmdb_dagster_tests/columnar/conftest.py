"""What the tests of the columnar copy may ask for."""

from pathlib import Path

import pytest

from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.columnar.copies import Copy


@pytest.fixture
def copy(warehouse: Warehouse, tmp_path: Path) -> Copy:
    """The columnar copy of this test's own warehouse."""
    return Copy(warehouse, tmp_path)

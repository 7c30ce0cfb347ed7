"""A process imports what it needs: the start of a run and of a command costs processor time thousands of times."""

import subprocess
import sys

import pytest

RARELY_NEEDED = {
    "apprise",
    "boto3",
    "botocore",
    "dagster_aws",
    "duckdb",
    "matplotlib",
    "pandas",
    "polars",
    "redis",
    "scipy",
    "statsmodels",
}
"""Each takes a tenth of a second or more. What needs one imports it in a function."""

RUN = (
    "import dagster._cli, dagster_mysql.storage, kmdb_dagster.definitions as run; run.definitions(); "
    "from kmdb_dagster.warehouse.identity.resolution import components; components([(1, 2)])"
)
ASK = "import kmdb_dagster.cli; from kmdb_dagster.questions.grammar import parse; parse('trend \"visited site\"')"


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(
    ("start", "unneeded"),
    [(RUN, RARELY_NEEDED), (ASK, RARELY_NEEDED | {"alembic", "dagster"})],
    ids=["a run", "kmdb ask"],
)
def test_a_start_imports_no_library_that_is_rarely_needed(start: str, unneeded: set[str]) -> None:
    program = f"import sys; {start}; print(*sys.modules)"
    found = subprocess.run(  # noqa: S603 - this file's own text
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = {name.split(".")[0] for name in found.stdout.split()}
    assert "kmdb_dagster" in imported
    assert imported & unneeded == set()

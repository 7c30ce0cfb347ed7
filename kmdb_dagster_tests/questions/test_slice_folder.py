"""The temporary folder of a slice goes with its process, however that ends."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kmdb_dagster.questions.slice_folder import slice_folder, sweep

QUESTION = """
import duckdb
from kmdb_dagster.cli.termination import exit_at_signals
from kmdb_dagster.questions.slice_folder import delete_open_folders, slice_folder

with exit_at_signals(delete_open_folders), slice_folder() as folder:
    (folder / "values").write_text("spilled")
    print(folder, flush=True)
    one = duckdb.connect(config={"threads": 1})
    one.sql("SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range % 7 = 3").fetchall()
"""


@contextmanager
def asked(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process in the middle of a query that does not end, and yield it with its folder."""
    command = [sys.executable, "-c", QUESTION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"TMPDIR": str(parent)}) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_question_at_once_and_leaves_no_files(tmp_path: Path, number: signal.Signals) -> None:
    with asked(tmp_path) as (process, folder):
        assert folder.is_dir()
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number
    assert not list(tmp_path.iterdir())


def test_the_next_question_deletes_what_a_killed_one_left_and_nothing_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with asked(tmp_path) as (killed, left):
        killed.kill()
        killed.wait()
    assert (left / "values").exists()
    with asked(tmp_path) as (_, in_use), slice_folder() as own:
        assert not left.exists()
        assert (in_use / "values").exists()
        sweep(tmp_path)
        assert own.exists()
    assert not own.exists()

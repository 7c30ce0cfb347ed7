"""The notebook of the documents runs completely, and finds the planted truth of the sample."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "how-to" / "questions.ipynb"

pytestmark = pytest.mark.xdist_group("sampled")  # as in test_answers


def test_docs_the_notebook_answers_its_questions(sampled_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sampled_url)
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # nbformat's
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 7
    assert "Association is not causation" in str(shown)
    assert "FROM events" in str(shown)


def test_docs_the_notebook_is_stored_without_output() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # as above
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)

"""Questions in Dagster: assets of a file, and the job that answers a typed one. Real runs."""

from pathlib import Path

import dagster as dg
import pytest

from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import SettingsError
from testing.buckets import T, event
from testing.revisions import Revisions
from testing.runs import failure_of, run_job

FUNNEL = 'funnel "visited site" "signed up" --within 1h'


@pytest.fixture
def filled(kmdb: Kmdb, tmp_path: Path) -> None:
    """Three visitors. One signs up."""
    lines = [event("visited site", name, T) for name in ("ann", "bob", "carl")] + [event("signed up", "bob", T + 60)]
    with kmdb.warehouse() as warehouse:
        Revisions(warehouse, tmp_path).put(1, *lines)


def questions_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    (tmp_path / "questions.toml").write_text(text)
    monkeypatch.setenv("KMDB_QUESTIONS", str(tmp_path / "questions.toml"))


@pytest.mark.usefixtures("filled")
def test_each_line_of_the_file_is_an_asset_that_answers_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    questions_file(monkeypatch, tmp_path, f"signups = '{FUNNEL}'\nvisits = 'trend \"visited site\"'\n")
    job = definitions().resolve_job_def("answer_questions")
    assert job.execute_in_process(instance=instance).success
    for name in ("signups", "visits"):
        event_of = instance.get_latest_materialization_event(dg.AssetKey(["questions", name]))
        assert event_of is not None
        assert event_of.asset_materialization is not None
        metadata = event_of.asset_materialization.metadata
        assert metadata.keys() == {"pictures", "finding", "answer", "sql", "number"}
        assert "data:image/png;base64," in str(metadata["answer"].value)
        assert "FROM events" in str(metadata["sql"].value)
    assert definitions().resolve_asset_graph().get(dg.AssetKey(["questions", "signups"])).description == (
        f"`kmdb ask {FUNNEL}`"
    )


@pytest.mark.usefixtures("filled")
def test_a_typed_question_is_answered_and_a_wrong_one_is_explained(instance: dg.DagsterInstance) -> None:
    done = run_job(instance, "ask", {"ops": {"answer_question": {"config": {"question": FUNNEL}}}})
    (output,) = (event for event in done.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT)
    assert output.step_output_data.metadata["finding"].value == "33.3 % of 3 people reach the last step."
    wrong = run_job(instance, "ask", {"ops": {"answer_question": {"config": {"question": "funel a"}}}})
    assert "No such command 'funel'" in failure_of(wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("signups = 'funel a'", "No such command 'funel'"),
        ("'sign ups' = 'trend'", "'sign ups' in"),
        ("signups = 5", "expected lines like"),
        ("signups =", "cannot be read as TOML"),
    ],
)
@pytest.mark.usefixtures("bare_environment")
def test_an_invalid_question_file_is_refused_when_definitions_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    questions_file(monkeypatch, tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        definitions()
    assert said in str(caught.value)
    assert "KMDB_QUESTIONS" in str(caught.value)

"""Questions in Dagster: assets of a file, and the job that answers a typed one. Real runs."""

from pathlib import Path

import dagster as dg
import pytest

from kmdb_dagster.definitions import definitions
from kmdb_dagster.defs.resources import Kmdb
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
        assert metadata.keys() == {"pictures", "finding", "answer", "read_from", "sql", "number"}
        assert metadata["read_from"].value == "Read from the tables, as of revision 1."
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


SAVED = f"""
visits = 'trend "visited site"'
broken = 'funel a'

[signups]
question = '{FUNNEL}'
description = "Who *signs up*?"
schedule = "30 7 * * 1"

[late]
question = 'trend'
schedule = 'at dawn'
"""


@pytest.mark.usefixtures("filled")
def test_an_entry_that_is_not_a_question_fails_and_says_why_and_all_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    questions_file(monkeypatch, tmp_path, SAVED)
    done = definitions().resolve_job_def("answer_questions").execute_in_process(instance=instance, raise_on_error=False)
    assert {
        event.step_key: event.event_type == dg.DagsterEventType.STEP_SUCCESS
        for event in done.all_events
        if event.is_step_success or event.is_step_failure
    } == {
        "questions__visits": True,
        "questions__broken": False,
        "questions__signups": True,
        "questions__late": False,
    }
    failures = [event.step_failure_data.user_failure_data for event in done.all_node_events if event.is_step_failure]
    reasons = [str(failure and failure.description) for failure in failures]
    for said in ("question = 'funel a': No such command 'funel'.", "schedule = 'at dawn' is not a schedule"):
        assert [said in reason and "reload the definitions" in reason for reason in reasons].count(True) == 1


@pytest.mark.usefixtures("bare_environment")
def test_a_saved_question_has_its_description_and_follows_its_schedule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    questions_file(monkeypatch, tmp_path, SAVED)
    graph = definitions().resolve_asset_graph()
    signups, visits, late = (graph.get(dg.AssetKey(["questions", name])) for name in ("signups", "visits", "late"))
    assert signups.description == f"Who \\*signs up\\*?\n\n`kmdb ask {FUNNEL}`"
    conditions = [node.automation_condition for node in (signups, visits, late)]
    assert [condition and condition.get_label() for condition in conditions] == [
        "at 30 7 * * 1 UTC",
        "every morning, 06:17 UTC",
        "every morning, 06:17 UTC",
    ]
    assert "at dawn" in str(late.description)


@pytest.mark.parametrize("text", ["signups =", "'sign ups' = 'trend'\n'sign-ups' = 'trend'", "signups = 5", "", None])
@pytest.mark.usefixtures("bare_environment")
def test_no_content_of_the_questions_file_stops_the_definitions_of_the_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    questions_file(monkeypatch, tmp_path, text or "")
    if text is None:
        (tmp_path / "questions.toml").unlink()
    assert definitions().resolve_job_def("import_range")
    keys = [key for key in definitions().resolve_asset_graph().get_all_asset_keys() if key.path[0] == "questions"]
    assert len(keys) == (0 if not text else len(text.splitlines()))

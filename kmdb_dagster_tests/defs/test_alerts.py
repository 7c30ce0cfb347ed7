"""Failed runs are told, to real receivers."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from sqlalchemy import text

from kmdb_dagster.defs.alerts import ATTEMPTS, alert_of_failed_runs
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.warehouse import Warehouse
from kmdb_dagster_tests.buckets import FolderOfRevisions, event
from kmdb_dagster_tests.defs.receivers import Hook, Mailbox, serving
from kmdb_dagster_tests.defs.runs import failure_of, import_range, run_job

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A web hook."""
    server = Hook()
    with serving(server):
        yield server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mail server."""
    server = Mailbox()
    with serving(server):
        yield server


@pytest.fixture
def failed(
    instance: dg.DagsterInstance, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> dg.ExecuteInProcessResult:
    """A run over 1..2 in which 2 failed."""
    bucket.put(1, event("visited site"))
    with warehouse.engine.begin() as connection:
        connection.execute(text("INSERT INTO revisions (revision, etag, imported_at) VALUES (2, 'e', '2014-01-01')"))
    return import_range(instance, kmdb, 1, 2)


Alert = Callable[..., object]


@pytest.fixture
def alert(instance: dg.DagsterInstance, kmdb: Kmdb, monkeypatch: pytest.MonkeyPatch) -> Alert:
    """What the sensor does when it is told of a run that failed, and of where to tell it."""

    def tell(result: dg.ExecuteInProcessResult, *urls: str) -> object:
        monkeypatch.setenv("KMDB_ALERT_URLS", " ".join(urls))
        (event,) = (event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_of_failed_runs",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=run,
            resources={"kmdb": kmdb},
        )
        return alert_of_failed_runs(context)

    return tell


def test_a_failed_import_is_told_with_its_revisions_its_reason_and_a_link(
    alert: Alert,
    failed: dg.ExecuteInProcessResult,
    hook: Hook,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KMDB_UI_URL", "https://dagster.example.com/")
    assert alert(failed, hook.url, mailbox.url) is None
    (posted,) = hook.taken
    assert posted["title"] == "kmdb: the import of revisions 1..2 failed"
    assert posted["type"] == "failure"
    assert posted["message"].startswith("1 of 2 revisions failed; the other 1 are in.\nrevision 2, raw_revisions: ")
    assert posted["message"].endswith(f"\n\nhttps://dagster.example.com/runs/{failed.run_id}")
    (mail,) = mailbox.mails
    assert mail["Subject"] == posted["title"]
    assert mail["To"] == "ops@example.com"
    words = mail.get_body().get_content()
    assert "is no longer there" in words
    assert failed.run_id in words


def test_another_job_is_told_by_its_name(
    instance: dg.DagsterInstance, alert: Alert, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    alert(run_job(instance, "realias"), hook.url)
    (posted,) = hook.taken
    assert posted["title"] == "kmdb: realias failed"
    assert posted["message"].startswith("DATABASE_URL is not set.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TransientError("The server is away."), "The server is away.\n\n"),
        (KeyError("bob@example.com"), "A defect of kmdb_dagster: KeyError at test_alerts.py:"),
    ],
)
def test_what_lies_beneath_our_own_words_goes_nowhere(
    error: Exception, words: str, instance: dg.DagsterInstance, alert: Alert, hook: Hook
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error from OSError("bob@example.com")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kmdb_dagster.defs.jobs.realias", broken)
        result = run_job(instance, "realias")
    alert(result, hook.url)
    (posted,) = hook.taken
    assert posted["message"].startswith(words)
    assert "bob@example.com" not in str(posted)
    assert "bob@example.com" not in failure_of(result)


def test_a_run_that_will_be_tried_again_is_not_told(
    instance: dg.DagsterInstance, alert: Alert, failed: dg.ExecuteInProcessResult, hook: Hook
) -> None:
    instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    skipped = alert(failed, hook.url)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "Dagster will try this run again."
    assert hook.taken == []


def test_without_a_receiver_it_says_which_setting_names_one(alert: Alert, failed: dg.ExecuteInProcessResult) -> None:
    skipped = alert(failed)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "KMDB_ALERT_URLS is not set."


def test_a_receiver_that_refuses_is_tried_again(alert: Alert, failed: dg.ExecuteInProcessResult, hook: Hook) -> None:
    hook.refusals = ATTEMPTS - 1
    alert(failed, hook.url)
    assert (hook.asked, len(hook.taken)) == (ATTEMPTS, 1)


@pytest.mark.parametrize("wrong", ["json://user:hushhush@127.0.0.1:1/hook", "nosuchservice://hushhush"])
def test_a_receiver_that_never_takes_it_keeps_it_from_no_other_and_its_secret_is_not_told(
    wrong: str, alert: Alert, failed: dg.ExecuteInProcessResult, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PermanentError, match=r"^1 of 2 alert channels \(KMDB_ALERT_URLS\) took no message"):
        alert(failed, wrong, hook.url)
    assert len(hook.taken) == 1
    assert "hushhush" not in caplog.text

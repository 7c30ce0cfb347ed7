"""Incidents are reported to real receivers: once when one begins, once when it is resolved."""

import dagster as dg
import pytest

from kmdb_dagster.alerting.channels import MAX_ATTEMPTS, send
from kmdb_dagster.alerting.incidents import QUIET_SECONDS, Message
from kmdb_dagster.defs.resources import Kmdb
from kmdb_dagster.errors import PermanentError, TransientError
from kmdb_dagster.warehouse import Warehouse
from testing.alert_receivers import Hook, Mailbox
from testing.buckets import FolderOfRevisions, event
from testing.revisions import change
from testing.runs import failure_of, import_range, leave_a_run, run_job
from testing.sensor_ticks import AlertTicks

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def failed(
    teller: AlertTicks, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse
) -> dg.ExecuteInProcessResult:
    """A run over 1..2 in which 2 failed: it was imported before, and its file is gone."""
    bucket.put(1, event("visited site"))
    change(warehouse.engine, "INSERT INTO revisions (revision, etag, imported_at) VALUES (2, 'e', '2014-01-01')")
    return import_range(teller.instance, kmdb, 1, 2)


def test_a_failed_import_is_reported_once_with_its_revisions_its_reason_and_a_link(
    teller: AlertTicks,
    failed: dg.ExecuteInProcessResult,
    hook: Hook,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KMDB_UI_URL", "https://dagster.example.com/")
    assert teller.tick(hook.url, mailbox.url) == "Reported: kmdb: the import of revisions 1..2 failed."
    (posted,) = hook.taken
    assert posted["title"] == "kmdb: the import of revisions 1..2 failed"
    assert posted["type"] == "failure"
    lines = posted["message"].splitlines()
    assert lines[1].startswith("Put revisions/2.json back into the bucket, then run import_outstanding. ")
    assert lines[1].endswith("(revision 2, raw_revisions)")
    assert lines[2] == "Failed revisions: 1 of 2. The other one is imported."
    assert "(step import_steps)" in posted["message"]
    assert posted["message"].endswith(f"\nhttps://dagster.example.com/runs/{failed.run_id}")
    (mail,) = mailbox.mails
    assert mail["Subject"] == posted["title"]
    assert mail["To"] == "ops@example.com"
    words = mail.get_body().get_content()
    assert "is no longer there" in words
    assert failed.run_id in words
    assert teller.tick(hook.url, mailbox.url) == "Open incidents: the import of revisions 1..2."
    # A user tags the run, which updates it in Dagster's history.
    teller.instance.add_run_tags(failed.run_id, {"seen": "by me"})
    assert teller.tick(hook.url) == "Open incidents: the import of revisions 1..2."


def test_many_failures_of_one_cause_are_one_message_and_an_hourly_sum(
    teller: AlertTicks, kmdb: Kmdb, bucket: FolderOfRevisions, warehouse: Warehouse, hook: Hook
) -> None:
    for number in range(1, 7):
        change(warehouse.engine, f"INSERT INTO revisions (revision, etag, imported_at) VALUES ({number}, 'e', NOW())")  # noqa: S608 - a number
    import_range(teller.instance, kmdb, 1, 2)
    import_range(teller.instance, kmdb, 3, 3)
    teller.tick(hook.url)
    import_range(teller.instance, kmdb, 4, 6)
    teller.tick(hook.url)
    (first,) = hook.taken
    assert first["title"] == "kmdb: the import of revisions 1..2 failed"
    assert "2 failures of this kind in a row.\nRevisions: 1..3" in first["message"]
    teller.later = QUIET_SECONDS
    teller.tick(hook.url)
    assert "3 failures of this kind in a row.\nRevisions: 1..6" in hook.taken[1]["message"]
    for number in range(1, 7):
        bucket.put(number, event("visited site"))
    import_range(teller.instance, kmdb, 1, 4)
    import_range(teller.instance, kmdb, 5, 6, only=["raw_revisions"])
    assert teller.tick(hook.url) == "Open incidents: the import of revisions 1..2."
    import_range(teller.instance, kmdb, 5, 6)
    assert teller.tick(hook.url) == "Reported: kmdb: the import of revisions 1..2 recovered."
    assert (len(hook.taken), hook.taken[2]["type"]) == (3, "success")
    assert teller.tick(hook.url) == "No open incidents."


def test_another_job_is_reported_by_its_name_and_recovers_with_its_next_run(
    teller: AlertTicks, hook: Hook, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    run_job(teller.instance, "realias")
    teller.tick(hook.url)
    monkeypatch.setenv("DATABASE_URL", database)
    run_job(teller.instance, "realias")
    teller.tick(hook.url)
    failed, recovered = hook.taken
    assert failed["title"] == "kmdb: realias failed"
    assert failed["message"].startswith("realias failed\nDATABASE_URL is not set.")
    assert recovered["title"] == "kmdb: realias recovered"


def test_a_check_is_reported_by_its_severity_when_it_fails_and_when_it_passes_again(
    teller: AlertTicks, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in ("48", "48", "0"):
        monkeypatch.setenv("KMDB_FRESH_HOURS", hours)
        run_job(teller.instance, "check_everything", only="warehouse_newest_event_is_recent")
        teller.later += QUIET_SECONDS
        teller.tick(hook.url)
    warned, passed = hook.taken
    assert (warned["title"], warned["type"]) == ("kmdb: the check newest_event_is_recent of warehouse warns", "warning")
    assert "allowed_hours: 48.0\nnewest_event: none yet\n" in warned["message"]
    assert passed["title"] == "kmdb: the check newest_event_is_recent of warehouse recovered"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TransientError("The server is unavailable."), "realias failed\nThe server is unavailable.\n"),
        (
            KeyError("bob@example.com"),
            "realias failed\nReport this defect of kmdb_dagster: KeyError at test_alerts.py:",
        ),
    ],
)
def test_the_text_of_foreign_errors_is_not_sent(error: Exception, words: str, teller: AlertTicks, hook: Hook) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error from OSError("bob@example.com")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kmdb_dagster.defs.jobs.people.realias", broken)
        result = run_job(teller.instance, "realias")
    teller.tick(hook.url)
    (posted,) = hook.taken
    assert posted["message"].startswith(words)
    assert "bob@example.com" not in str(posted)
    assert "bob@example.com" not in failure_of(result)


DROP = "drop_old_partitions"


@pytest.mark.parametrize(
    "config",
    [
        {"before": ""},
        {"before": "yesterday", "dry_run": False},
        {"before": "2014-05-01", "dry_run": False, "confirm": "another"},
    ],
    ids=["a dry run without KMDB_KEEP_DAYS", "a typed day that is none", "another database's name"],
)
@pytest.mark.parametrize("tags", [{}, {"dagster/schedule_name": "nightly"}], ids=["by hand", "by a schedule"])
def test_what_the_user_who_started_a_run_sees_at_once_is_reported_only_if_a_schedule_started_it(
    teller: AlertTicks, hook: Hook, config: dict[str, object], tags: dict[str, str]
) -> None:
    result = run_job(teller.instance, "drop_partitions", {"ops": {DROP: {"config": config}}})
    assert not result.success
    teller.instance.add_run_tags(result.run_id, tags)
    teller.tick(hook.url)
    assert [posted["title"] for posted in hook.taken] == (["kmdb: drop_partitions failed"] if tags else [])


def test_a_failed_deletion_that_was_started_by_hand_is_reported(
    teller: AlertTicks, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    run_job(teller.instance, "drop_partitions", {"ops": {DROP: {"config": {"dry_run": False}}}})
    teller.tick(hook.url)
    assert [posted["title"] for posted in hook.taken] == ["kmdb: drop_partitions failed"]


def test_a_run_that_will_be_retried_is_not_reported(
    teller: AlertTicks, failed: dg.ExecuteInProcessResult, hook: Hook
) -> None:
    teller.instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    assert teller.tick(hook.url) == "No open incidents."
    assert hook.taken == []


def test_a_run_that_ended_without_a_message_is_reported_too(teller: AlertTicks, hook: Hook) -> None:
    leave_a_run(teller.instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": "7"})
    (run,) = teller.instance.get_runs()
    teller.instance.report_run_failed(run, "Its process is gone.")
    teller.tick(hook.url)
    assert hook.taken[0]["message"].startswith("the import of revision 7 failed\nIts process is gone.\n")


@pytest.mark.usefixtures("failed")
def test_without_a_receiver_the_tick_names_the_setting_and_sends_nothing_later(teller: AlertTicks, hook: Hook) -> None:
    assert teller.tick() == "KMDB_ALERT_URLS is not set."
    assert teller.tick(hook.url) == "No open incidents."


@pytest.mark.usefixtures("failed")
def test_a_refusing_receiver_is_retried_in_this_and_the_next_tick(teller: AlertTicks, hook: Hook) -> None:
    hook.refusals = 2 * MAX_ATTEMPTS - 1
    with pytest.raises(PermanentError, match=r"^No alert channel \(KMDB_ALERT_URLS\) accepted a message"):
        teller.tick(hook.url)
    teller.tick(hook.url)
    assert (hook.asked, len(hook.taken)) == (2 * MAX_ATTEMPTS, 1)


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("wrong", ["json://user:hushhush@127.0.0.1:1/hook", "nosuchservice://hushhush"])
def test_a_failing_receiver_does_not_affect_the_others_and_its_secret_is_not_shown(
    wrong: str, teller: AlertTicks, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    words = teller.tick(wrong, hook.url)
    assert words.endswith("failed. 1 of 2 alert channels (KMDB_ALERT_URLS) accepted no message.")
    assert len(hook.taken) == 1
    assert "hushhush" not in caplog.text


def test_a_mail_escapes_its_text(mailbox: Mailbox) -> None:
    message = Message("kmdb: <b>failed</b>", '<img src="http://127.0.0.1:9/x.png">\nsecond & last', "failure")
    assert send([mailbox.url, f"{mailbox.url}&format=html"], message) == 0
    plain, html = sorted(
        (mail.get_body() for mail in mailbox.mails), key=lambda body: body.get_content_subtype() == "html"
    )
    assert plain.get_content_type() == "text/plain"
    assert "<img" not in html.get_content()
    assert "&lt;img" in html.get_content()

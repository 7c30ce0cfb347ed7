"""Saved questions at the terminal: saved, listed, asked, removed. The file stays as people wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest

from testing.buckets import T, event
from testing.revisions import Revisions
from testing.terminal import Ended, Terminal

FUNNEL = ("funnel", "visited site", "signed up", "--within", "1h")
BY_HAND = """# Our questions. Ask Alice before you change them.
signups = 'trend "signed up" --last 2d'  # for the Monday meeting

[visits]
question = 'trend "visited site"'
"""


class Asking:
    """A terminal with a file of saved questions."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.file = terminal.folder / "questions.toml"

    def __call__(self, *arguments: str, **settings: str) -> Ended:
        """Run `kmdb ask` with the file."""
        return self.terminal.kmdb("ask", *arguments, **{"KMDB_QUESTIONS": str(self.file), **settings})


@pytest.fixture
def ask(ready: Terminal, warehouse: object, tmp_path: Path) -> Asking:
    """Ask a database with three visitors; one signs up."""
    lines = [event("visited site", name, T) for name in ("ann", "bob", "carl")] + [event("signed up", "bob", T + 60)]
    Revisions(warehouse, tmp_path).put(1, *lines)  # type: ignore[arg-type]  # the fixture's warehouse
    return Asking(ready)


def rows(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["rows"]


def test_a_question_is_saved_listed_asked_by_its_name_and_removed(ask: Asking) -> None:
    saved = ask("--save", "how_many", "--description", "Who signs up?", "--schedule", "17 6 * * 1", *FUNNEL)
    assert saved.code == 0
    assert "33.3 % of 3 people" in saved.out
    assert f"Saved how_many in {ask.file}. Run `kmdb ask how_many`." in saved.err
    listed = ask("--saved")
    assert listed.out == (
        "how_many: Who signs up?\n  at 17 6 * * 1 UTC: kmdb ask funnel 'visited site' 'signed up' --within 1h\n"
    )
    assert rows(ask("--json", "how_many")) == rows(ask("--json", *FUNNEL))
    assert ask("--remove", "how_many").out == "Removed how_many. Dagster forgets it after Deployment → Reload.\n"
    assert "No such command 'how_many'" in ask("how_many").err
    assert ask("--saved").out == f"No question is saved in {ask.file}. Run `kmdb ask --save NAME …`.\n"


def test_a_relative_span_stays_relative(ask: Asking) -> None:
    assert ask("--save", "recent", "trend", "--last", "2d").code == 0
    assert "--last 2d" in ask.file.read_text()
    assert "since" not in ask.file.read_text()


def test_what_follows_the_name_replaces_the_saved_options(ask: Asking) -> None:
    ask("--save", "how_many", *FUNNEL)
    ended = ask("--json", "how_many", "--within", "1s")
    assert json.loads(ended.out)["asked"]["parameters"]["within"] == "1s"
    assert [row["people"] for row in rows(ended)] == [3, 0]


def test_saving_and_removing_keep_comments_and_the_other_questions(ask: Asking) -> None:
    ask.file.write_text(BY_HAND)
    ask.file.chmod(0o664)
    assert ask("--save", "how_many", *FUNNEL).code == 0
    assert ask.file.read_text().startswith(BY_HAND)
    assert ask("--remove", "how_many").code == 0
    assert ask.file.read_text().strip() == BY_HAND.strip()
    assert ask.file.stat().st_mode & 0o777 == 0o664
    assert ask("--remove", "signups").code == 0
    assert "# Our questions" in ask.file.read_text()
    assert ask("visits").code == 0


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a\nb", "\\d", "#"])
def test_every_name_of_an_event_can_be_saved(ask: Asking, warehouse: object, tmp_path: Path, name: str) -> None:
    Revisions(warehouse, tmp_path).put(2, event(name, "dora", T))  # type: ignore[arg-type]  # the fixture's warehouse
    assert ask("--save", "odd", "funnel", name).code == 0
    assert rows(ask("--json", "odd"))[0]["event"] == name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--save", "funnel", *FUNNEL], "'funnel' cannot be the name of a saved question"),
        (["--save", "two words", *FUNNEL], "'two words' cannot be the name of a saved question"),
        (["--save", "signups", *FUNNEL], "A question is saved as 'signups' already"),
        (["--save", "odd", "--schedule", "at dawn", *FUNNEL], "schedule = 'at dawn' is not a schedule: expected cron"),
        (["--save", "odd", "--schedule", "61 6 * * *", *FUNNEL], "schedule = '61 6 * * *' is not a schedule"),
        (["--save", "odd", *FUNNEL, "--in-cohort", "people.txt"], "--in-cohort people.txt is a relative path"),
        (["--save", "odd", "funnel", "visited"], "No event is called 'visited'"),
        (["--remove", "odd"], "No question is saved as 'odd'"),
        (["--description", "x", *FUNNEL], "--description and --schedule belong to --save NAME"),
        (["--schedule", "0 6 * * *", *FUNNEL], "--description and --schedule belong to --save NAME"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_the_file_stays(ask: Asking, arguments: list[str], said: str) -> None:
    ask.file.write_text(BY_HAND)
    ended = ask(*arguments)
    assert ended.code in {1, 2}
    assert ended.out == ""
    assert said in ended.err
    assert ask.file.read_text() == BY_HAND


def test_saving_without_the_setting_names_it(ask: Asking) -> None:
    ended = ask("--save", "odd", *FUNNEL, KMDB_QUESTIONS="")
    assert ended.code == 2
    assert "KMDB_QUESTIONS is not set." in ended.err


def test_an_invalid_entry_is_listed_with_its_key_and_value_and_stops_no_other(ask: Asking) -> None:
    ask.file.write_text(f"{BY_HAND}\n[odd]\nquestion = 'funel a'\n\n[late]\nquestion = 'trend'\nschedule = 'dawn'\n")
    listed = ask("--saved")
    assert listed.code == 1
    assert f"odd: NOT A QUESTION. odd in {ask.file}: question = 'funel a': No such command 'funel'." in listed.out
    assert f"late: NOT A QUESTION. late in {ask.file}: schedule = 'dawn' is not a schedule" in listed.out
    assert "\n  every morning: kmdb ask trend" in listed.out
    assert ask("signups").code == 0
    refused = ask("odd")
    assert (refused.code, refused.out) == (1, "")
    assert "question = 'funel a'" in refused.err


def test_a_file_that_is_not_toml_is_named_and_only_saved_questions_need_it(ask: Asking) -> None:
    ask.file.write_text("signups = 'trend")
    assert ask(*FUNNEL).code == 0
    for arguments in (["signups"], ["--save", "odd", *FUNNEL], ["--remove", "signups"]):
        ended = ask(*arguments)
        assert (ended.code, ended.out) == (1, "")
        assert f"{ask.file} c" in ended.err
        assert "Traceback" not in ended.err
    assert "cannot be read as TOML" in ask("--saved").out
    assert ask.file.read_text() == "signups = 'trend"


def test_the_help_needs_no_setting(ready: Terminal) -> None:
    assert "--save NAME" in ready.kmdb("ask", "--help").out

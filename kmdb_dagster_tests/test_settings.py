"""Settings: their sources, the errors of wrong values, and the documents that list them."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kmdb_dagster.errors import MissingSettingError, SettingsError
from kmdb_dagster.settings import Settings, load_settings

pytestmark = pytest.mark.usefixtures("bare_environment")

ROOT = Path(__file__).parent.parent
FIELDS = {str(field.alias): (name, field) for name, field in Settings.model_fields.items()}

GOOD: dict[str, tuple[str, object]] = {
    "DATABASE_URL": ("mysql://u:p@db.example.com/kmdb", SecretStr("mysql://u:p@db.example.com/kmdb")),
    "KMDB_DATABASE_TIMEOUT_SECONDS": ("300", 300),
    "KMDB_REDIS_URL": ("redis://redis.example.com/14", SecretStr("redis://redis.example.com/14")),
    "KMDB_MIN_DATE": ("2014-01-01", date(2014, 1, 1)),
    "KMDB_MAX_DATE": ("2016-01-01", date(2016, 1, 1)),
    "KMDB_DAYS_PER_PARTITION": ("30", 30),
    "KMDB_KEEP_DAYS": ("730", 730),
    "KMDB_KEEP_HISTORY_DAYS": ("30", 30),
    "KMDB_TIME_ZONE": ("Europe/London", "Europe/London"),
    "KMDB_MIN_REVISION": ("50", 50),
    "KMDB_REVISION_LOOKAHEAD": ("20", 20),
    "KMDB_BATCH_SIZE": ("100", 100),
    "AWS_BUCKET": ("km-data", "km-data"),
    "AWS_ACCESS_KEY_ID": ("someone", "someone"),
    "AWS_SECRET_ACCESS_KEY": ("a-secret-key", SecretStr("a-secret-key")),
    "AWS_SESSION_TOKEN": ("for-an-hour", SecretStr("for-an-hour")),
    "AWS_ENDPOINT_URL": ("https://s3.example.com:9000/path", "https://s3.example.com:9000/path"),
    "AWS_DEFAULT_REGION": ("eu-west-1", "eu-west-1"),
    "KMDB_LOCAL_BUCKET": ("some/folder", Path("some/folder")),
    "KMDB_PREFIX": ("/kissmetrics/data", "kissmetrics/data/"),
    "KMDB_DATA_DIR": ("other/folder", Path("other/folder")),
    "KMDB_KEEP_FILES": ("yes", True),
    "KMDB_COLUMNAR": ("no", False),
    "KMDB_COLUMNAR_URL": ("file:///srv/columnar", "file:///srv/columnar"),
    "KMDB_MAX_REJECTED_SHARE": ("0.01", 0.01),
    "KMDB_NUMERIC_APART": ("yes", True),
    "KMDB_MOST_IDENTITIES": ("50", 50),
    "KMDB_CHECKED_ROWS": ("500", 500),
    "KMDB_REVISIONS_PER_RUN": ("7", 7),
    "KMDB_RUNS_AHEAD": ("3", 3),
    "KMDB_FRESH_HOURS": ("36.5", 36.5),
    "KMDB_STALLED_HOURS": ("0.5", 0.5),
    "KMDB_ALERT_URLS": (" json://a.example.com  json://b ", (SecretStr("json://a.example.com"), SecretStr("json://b"))),
    "KMDB_QUESTIONS": ("our/questions.toml", Path("our/questions.toml")),
    "KMDB_UI_URL": ("https://dagster.example.com", "https://dagster.example.com"),
    "KMDB_UI_HOSTS": (" kmdb.internal  10.0.0.5:3000 ", ("kmdb.internal", "10.0.0.5:3000")),
    "KMDB_OWNERS": (" team:analytics  alice@example.com ", ("team:analytics", "alice@example.com")),
    "KMDB_DOCS_URL": ("https://docs.example.com/kmdb", "https://docs.example.com/kmdb"),
}
BAD = {
    "DATABASE_URL": [
        "hidden",
        "postgresql://u:hidden@h/d",
        "mysql://u:hidden@h",
        "mysql://u:hidden@h:hidden/d",
        "mysql://",
        "mysql://u:hidden@h/d?ssl_mode=REQUIRED",
        "mysql://u:hidden@h/d?socketTimeout=hidden",
        "mysql://u:1?hidden=x@h/d",
        "mysql://u:12/w?hidden=x@h/d",
    ],
    "KMDB_DATABASE_TIMEOUT_SECONDS": ["0", "119", "86401", "15m"],
    "KMDB_REDIS_URL": ["hidden", "http://:hidden@h", "redis://:hid/den@h", "redis:hidden", "redis://h:hidden"],
    "KMDB_MIN_DATE": ["yesterday", "2014-02-30", "01.01.2014"],
    "KMDB_MAX_DATE": ["tomorrow"],
    "KMDB_DAYS_PER_PARTITION": ["0", "a week", "3661"],
    "KMDB_TIME_ZONE": ["London", "europe/london", "UTC+1"],
    "KMDB_MIN_REVISION": ["0", "-1", "8388608", "1..5"],
    "KMDB_REVISION_LOOKAHEAD": ["0", "1001"],
    "KMDB_BATCH_SIZE": ["0", "1e9", "5,000"],
    "AWS_ENDPOINT_URL": ["127.0.0.1:9000", "ftp://h", "http://", "http:// h"],
    "KMDB_KEEP_FILES": ["maybe", "2"],
    "KMDB_COLUMNAR": ["maybe"],
    "KMDB_COLUMNAR_URL": ["s3://bucket", "file://relative", "http://h/d"],
    "KMDB_MAX_REJECTED_SHARE": ["-0.1", "1.01", "50%", "nan", "inf", "half"],
    "KMDB_NUMERIC_APART": ["perhaps"],
    "KMDB_MOST_IDENTITIES": ["0", "-1", "all"],
    "KMDB_CHECKED_ROWS": ["-1", "all"],
    "KMDB_REVISIONS_PER_RUN": ["0", "1001"],
    "KMDB_RUNS_AHEAD": ["0", "1001"],
    "KMDB_UI_URL": ["localhost:3000", "https://"],
    "KMDB_UI_HOSTS": ["http://kmdb.internal", "a/b", "*"],
    "KMDB_OWNERS": ["data", "team:", "alice@"],
    "KMDB_DOCS_URL": ["docs.example.com"],
}
SECRETS = {"DATABASE_URL", "KMDB_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "KMDB_ALERT_URLS"}


def value(name: str) -> Any:
    return getattr(load_settings(), FIELDS[name][0])


def test_every_setting_is_tested() -> None:
    assert GOOD.keys() == FIELDS.keys()


def test_settings_load_from_an_empty_environment() -> None:
    loaded = load_settings()
    assert all(getattr(loaded, name) == field.default for name, field in FIELDS.values())


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, GOOD[name][0])
    assert value(name) == GOOD[name][1]


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_is_read_from_dotenv_in_the_working_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"# a comment\nexport {name}='{GOOD[name][0]}' # another\n")
    assert value(name) == GOOD[name][1]


def test_the_environment_wins_over_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("KMDB_BATCH_SIZE=1\nKMDB_RUNS_AHEAD=2\n")
    monkeypatch.setenv("KMDB_BATCH_SIZE", "3")
    assert (value("KMDB_BATCH_SIZE"), value("KMDB_RUNS_AHEAD")) == (3, 2)


@pytest.mark.parametrize("around", [" {} ", '"{}"', "'{}'", '" {} "', "\t{}\n"])
@pytest.mark.parametrize("name", ["DATABASE_URL", "KMDB_BATCH_SIZE", "AWS_BUCKET", "KMDB_LOCAL_BUCKET"])
def test_blanks_and_quotes_around_a_value_are_removed(monkeypatch: pytest.MonkeyPatch, name: str, around: str) -> None:
    monkeypatch.setenv(name, around.format(GOOD[name][0]))
    assert value(name) == GOOD[name][1]


def test_quotes_inside_a_value_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "\"a'b")
    assert value("AWS_SECRET_ACCESS_KEY").get_secret_value() == "\"a'b"


@pytest.mark.parametrize("empty", ["", " ", "''"])
@pytest.mark.parametrize("name", GOOD)
def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch, name: str, empty: str) -> None:
    monkeypatch.setenv(name, empty)
    assert value(name) == FIELDS[name][1].default


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, values in BAD.items() for wrong in values])
def test_a_wrong_value_is_an_error_with_the_expected_form(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    monkeypatch.setenv(name, wrong)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    words = str(caught.value)
    assert words.startswith(f"{name} is {'***' if name in SECRETS else repr(wrong)}: ")
    assert str(FIELDS[name][1].description) in words
    assert "hid" not in words


def test_all_wrong_values_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in BAD.items():
        monkeypatch.setenv(name, values[0])
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(BAD)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, GOOD[name][0])
    shown = f"{load_settings()!r} {load_settings()} {load_settings().required_database()}"
    assert not any(
        hidden in shown for hidden in ("a-secret-key", "for-an-hour", ":p@", "redis.example.com", "a.example.com")
    )


@pytest.mark.parametrize("last", ["2013-12-31", "2014-01-01"])
def test_dates_in_the_wrong_order_are_refused(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setenv("KMDB_MIN_DATE", "2014-01-01")
    monkeypatch.setenv("KMDB_MAX_DATE", last)
    with pytest.raises(SettingsError, match=rf"KMDB_MAX_DATE is '{last}': KMDB_MIN_DATE \(2014-01-01\) is not before"):
        load_settings()


def test_a_dotenv_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"KMDB_BATCH_SIZE=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


def test_a_missing_required_setting_is_an_error_with_its_description() -> None:
    with pytest.raises(
        MissingSettingError, match=r"DATABASE_URL is not set\. .* Set it in the environment or in \.env\."
    ):
        load_settings().required_database()


def plain(default: object) -> str:
    """A default as it would be written in the environment."""
    if isinstance(default, tuple):
        return " ".join(default)
    return {None: "", False: "no", True: "yes"}.get(default, str(default))  # type: ignore[call-overload, no-any-return]  # defaults are hashable


def expected_table() -> str:
    rows = [
        f"| `{name}` | {f'`{plain(field.default)}`' if plain(field.default) else ''} | {field.description} |"
        for name, (_, field) in FIELDS.items()
    ]
    return "\n".join(["| name | default | meaning |", "| --- | --- | --- |", *rows])


def expected_example() -> str:
    entries = [f"# {field.description}\n#{name}={plain(field.default)}\n" for name, (_, field) in FIELDS.items()]
    return "\n".join(["# Copy this to .env and remove the # before what you set. The environment wins.\n", *entries])


def test_docs_list_every_setting() -> None:
    document = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert expected_table() in document, f"The table in docs/reference/settings.md is to be:\n\n{expected_table()}"


def test_docs_show_the_real_error_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://kmdb:secret@db.example.com/kmdb")
    monkeypatch.setenv("KMDB_BATCH_SIZE", "many")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) in (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8"), str(caught.value)


def test_docs_example_of_dotenv_has_every_setting() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    assert example == expected_example(), f".env.example is to be:\n\n{expected_example()}"


def test_docs_example_of_dotenv_sets_the_defaults_when_uncommented(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    lines = [line.removeprefix("#") for line in example.splitlines() if not line.startswith("# ")]
    assert {line.partition("=")[0] for line in lines if line} == FIELDS.keys()
    (tmp_path / ".env").write_text("\n".join(lines))
    assert load_settings() == Settings.model_construct()

"""The demo's sample and settings, without its servers."""

import os
from pathlib import Path

import pytest

from dev import site


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the sample small, and in a folder of the test."""
    for name, value in {"FOLDER": tmp_path, "SAMPLE": tmp_path / "sample", "REVISIONS": 12, "LINES": 20}.items():
        monkeypatch.setattr(site, name, value)
    return tmp_path / "sample" / "revisions"


def test_revisions_that_are_added_stay_for_the_next_start_and_change_no_other(folder: Path) -> None:
    assert site.make_sample() == 12
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert site.make_sample(3) == 15
    assert site.make_sample() == 15
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.keys() - before.keys() == {"13.json", "14.json", "15.json"}
    assert {name: after[name] for name in before} == before


def test_of_the_settings_of_the_shell_only_the_alert_channels_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KMDB_ALERT_URLS", "KMDB_PREFIX", "DATABASE_URL", "AWS_PROFILE"):
        monkeypatch.setenv(name, "json://127.0.0.1:9")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    site.leave_the_user_out()
    assert os.environ["KMDB_ALERT_URLS"] == "json://127.0.0.1:9"
    assert not {"KMDB_PREFIX", "DATABASE_URL", "AWS_PROFILE"} & os.environ.keys()

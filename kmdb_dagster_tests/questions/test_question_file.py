"""The file of saved questions: each entry is read apart from the others, and changes keep what people wrote."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kmdb_dagster.errors import RequestError
from kmdb_dagster.questions.question_file import (
    UNREADABLE,
    InvalidQuestion,
    SavedQuestion,
    add_question,
    read_questions,
    remove_question,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "questions.toml"


def problem_of(file: Path, text: str) -> str:
    """Return the problem of the only entry of the file."""
    file.write_text(text)
    (found,) = read_questions(file)
    assert isinstance(found, InvalidQuestion)
    return found.problem.replace(str(file), "FILE")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("signups = 'funel a'", "signups in FILE: question = 'funel a': No such command 'funel'."),
        ("signups = 5", "signups in FILE: question = 5: Input should be a valid string"),
        ("[signups]\ndescription = 'x'", "signups in FILE: the key 'question' is missing."),
        ("[a]\nquestion = 'trend'\nschedul = '@daily'", "a in FILE: schedul = '@daily' is not expected here."),
        ("[a]\nquestion = 'trend'\nb = 'trend'", "a in FILE: b = 'trend' is not expected here."),
        ("[a]\nquestion = 'trend'\nschedule = 6", "a in FILE: schedule = 6: Input should be a valid string"),
        ("[a]\nquestion = 'trend'\nschedule = ''", "a in FILE: schedule = '': String should have at least"),
        ("[a]\nquestion = 'trend'\nname = 'b'", "a in FILE: name = 'b' is not expected here."),
        ("'sign ups' = 'trend'", "'sign ups' is not a name. Use letters, digits and underscores in FILE."),
        ("signups =", "FILE cannot be read as TOML: Invalid value (at end of document)."),
        ("a = 'trend'\na = 'trend'", "FILE cannot be read as TOML: Cannot overwrite a value"),
    ],
)
def test_an_invalid_entry_is_described_with_its_key_and_value(file: Path, text: str, problem: str) -> None:
    assert problem_of(file, text).startswith(problem)


def test_bytes_that_are_not_utf_8_and_a_missing_folder_are_described(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"a = 'trend \xe9'")
    for file in (latin, tmp_path / "missing" / "questions.toml"):
        (found,) = read_questions(file)
        assert found.name == UNREADABLE
        assert isinstance(found, InvalidQuestion)


def test_a_file_that_does_not_exist_has_no_questions(file: Path) -> None:
    assert read_questions(file) == []


def test_an_invalid_entry_stops_no_other(file: Path) -> None:
    file.write_text("a = 'trend'\nb = 'tren'\n[c]\nquestion = 'trend'\ndescription = 'd'\nschedule = '0 6 * * *'\n")
    a, b, c = read_questions(file)
    assert a == SavedQuestion(name="a", question="trend")
    assert b.name == "b"
    assert isinstance(b, InvalidQuestion)
    assert c == SavedQuestion(name="c", question="trend", description="d", schedule="0 6 * * *")


def test_many_who_save_at_once_lose_no_question(file: Path) -> None:
    names = [f"question_{number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_question(file, SavedQuestion(name=name, question="trend")), names))
    assert sorted(item.name for item in read_questions(file)) == sorted(names)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_question_that_is_added_reads_as_it_was(file: Path) -> None:
    added = SavedQuestion(name="a", question="funnel \"it's\" 'a\nb'", description="\t'\"", schedule="0 6 * * *")
    add_question(file, added)
    assert read_questions(file) == [added]
    with pytest.raises(RequestError, match="A question is saved as 'a' already"):
        add_question(file, added)


def test_a_link_stays_a_link(tmp_path: Path, file: Path) -> None:
    (tmp_path / "shared.toml").write_text("a = 'trend'\n")
    file.symlink_to(tmp_path / "shared.toml")
    add_question(file, SavedQuestion(name="b", question="trend"))
    remove_question(file, "a")
    assert file.is_symlink()
    assert [item.name for item in read_questions(tmp_path / "shared.toml")] == ["b"]

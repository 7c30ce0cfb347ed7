"""The commands on files, which need no settings."""

import gzip
import json
from pathlib import Path

from testing.buckets import alias, event, property_set
from testing.terminal import Terminal

REVISION = b"".join(
    [
        event("visited site", url="http://example.com"),
        property_set(plan="pro"),
        alias("anon=", "bob@example.com"),
        b"\n",
        b"no json\n",
        b"neither\n",
    ]
)


def test_inspect_counts_the_outcome_of_each_line(terminal: Terminal) -> None:
    (terminal.folder / "1.json").write_bytes(REVISION)
    ended = terminal.kmdb("inspect", "1.json")
    assert ended.code == 0
    words = [line.split(maxsplit=1) for line in ended.out.splitlines()]
    assert words[:7] == [
        ["6", "lines"],
        ["1", "events"],
        ["1", "property sets"],
        ["1", "aliases"],
        ["2", "property values"],
        ["1", "blank lines"],
        ["2", "rejected lines"],
    ]
    assert words[7:] == [["2", "invalid_json (it cannot be read: cut off, damaged, or never JSON), line 5, 6"]]
    assert "bob@example.com" not in ended.out


def test_inspect_names_the_first_lines_of_each_reason_and_counts_all(terminal: Terminal) -> None:
    ended = terminal.kmdb("inspect", "-", standard_input=b"no json\n" * 7 + b"[]\n")
    assert [line.split(maxsplit=1) for line in ended.out.splitlines()[2:]] == [
        ["7", "invalid_json (it cannot be read: cut off, damaged, or never JSON), line 1, 2, 3, 4, 5, …"],
        ["1", "not_an_object (it is whole JSON, but a list, string, number, boolean or null), line 8"],
    ]


def test_inspect_names_the_format_of_a_file_that_is_not_an_export(terminal: Terminal) -> None:
    ended = terminal.kmdb("inspect", "-", standard_input=b"<html><body>503</body></html>\n")
    assert ended.out.endswith("The file looks like an HTML page, such as an error page of a proxy.\n")


def test_inspect_reads_gzip(terminal: Terminal) -> None:
    assert terminal.kmdb("inspect", "-", standard_input=gzip.compress(REVISION)).out.split()[:2] == ["6", "lines"]


def test_inspect_reads_standard_input(terminal: Terminal) -> None:
    assert terminal.kmdb("inspect", "-", standard_input=REVISION).out.split()[:2] == ["6", "lines"]


def test_inspect_accepts_an_empty_file(terminal: Terminal) -> None:
    ended = terminal.kmdb("inspect", "-")
    assert (ended.code, ended.out.split()) == (0, ["0", "lines"])


def test_inspect_json_prints_one_object_per_line(terminal: Terminal) -> None:
    ended = terminal.kmdb("inspect", "--json", "-", standard_input=REVISION)
    assert len([json.loads(line) for line in ended.out.splitlines()]) == 6
    assert "bob@example.com" in ended.out


def test_inspect_of_a_missing_file_names_it(terminal: Terminal) -> None:
    ended = terminal.kmdb("inspect", "gone.json")
    assert ended.code == 2
    assert "'gone.json': No such file or directory" in ended.err
    assert "Traceback" not in ended.err


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_options_give_the_same_sample(terminal: Terminal) -> None:
    options = ["--revisions", "3", "--lines", "50"]
    ended = terminal.kmdb("sample", "one", *options)
    assert ended.code == 0
    assert ended.out.endswith("one holds 0.0 MB.\n")
    terminal.kmdb("sample", "two", *options)
    terminal.kmdb("sample", "three", *options, "--seed", "7")
    one, two, three = (files(terminal.folder / name) for name in ("one", "two", "three"))
    assert sorted(one) == [
        "hello.txt",
        "index.csv",
        "revisions/1.json",
        "revisions/2.json",
        "revisions/3.json",
        "status.csv",
    ]
    assert one == two
    assert one["revisions/1.json"] != three["revisions/1.json"]


def test_a_sample_of_no_lines_is_refused(terminal: Terminal) -> None:
    ended = terminal.kmdb("sample", "here", "--revisions", "0")
    assert ended.code == 2
    assert "Invalid value for '--revisions'" in ended.err

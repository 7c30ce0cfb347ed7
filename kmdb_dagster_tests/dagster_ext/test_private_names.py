"""Private modules of Dagster are used in one room only, and listed there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import kmdb_dagster
from kmdb_dagster import dagster_ext

PACKAGE = Path(kmdb_dagster.__file__).parent
ROOM = PACKAGE / "dagster_ext"
PRIVATE = re.compile(r"dagster\._|dagster_(celery|mysql|webserver)\b")


def private_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from filter(PRIVATE.match, [node.module])
        elif isinstance(node, ast.Import):
            yield from filter(PRIVATE.match, (name.name for name in node.names))


def test_each_private_module_is_listed_in_the_line_of_the_module_that_imports_it() -> None:
    listed = dict(re.findall(r"^\* ``(\w+)``: (.*?)(?=^\* |\Z)", doc(), re.MULTILINE | re.DOTALL))
    used = {file.stem: names for file in ROOM.glob("*.py") if (names := set(private_imports(file)))}
    assert {
        "asset_events",
        "backfill_titles",
        "backfills",
        "celery_launcher",
        "history_purge",
        "history_storage",
        "launcher",
        "run_ranges",
        "webserver",
    } == set(used)
    for module, names in used.items():
        assert names == {name for name in re.findall(r"`([\w.]+)`", listed[module]) if PRIVATE.match(name)}


def test_no_other_room_imports_a_private_module() -> None:
    others = [file for file in PACKAGE.rglob("*.py") if ROOM not in file.parents]
    assert len(others) > 100
    assert {str(file): names for file in others if (names := list(private_imports(file)))} == {}


def test_each_listed_test_exists() -> None:
    tests = re.findall(r"Test: ([\w/]+)\.", doc())
    assert len(tests) == doc().count("\n* ")
    assert [name for name in tests if not (PACKAGE.parent / "kmdb_dagster_tests" / f"{name}.py").exists()] == []


def doc() -> str:
    assert dagster_ext.__doc__
    return dagster_ext.__doc__

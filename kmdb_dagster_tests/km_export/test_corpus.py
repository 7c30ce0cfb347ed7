"""Every case of the corpus has its expected records."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kmdb_dagster.km_export.reader import read_lines
from kmdb_dagster.km_export.record_json import as_json

CORPUS = Path(__file__).parents[1] / "corpus" / "cases.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]

_GOOD = b'{"_n":"ev","_p":"bob@example.com","_t":1397577453}\n'
LARGE_FILES = {
    "files/unclosed-100k.json": b"[" * 100_000 + b"\n" + _GOOD,
    "files/line-1mb-garbage.json": b"x" * 1_048_576 + b"\n" + _GOOD,
    "files/line-1mb-value.json": b'{"v":"' + b"x" * 1_048_576 + b'","' + _GOOD[2:],
}


def content(case: dict[str, Any]) -> bytes:
    if "raw_file" in case:
        return LARGE_FILES[case["raw_file"]]
    return base64.b64decode(case["raw_b64"])


def comparable(value: Any) -> Any:
    """The corpus counts a run of U+FFFD as one, and shortens long values."""
    if isinstance(value, str):
        return re.sub("\ufffd+", "\ufffd", value)
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        if value.get("type") == "repeat":
            return value["text"] * value["times"]
        return {comparable(name): comparable(item) for name, item in value.items()}
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
@pytest.mark.parametrize("chunk_bytes", [1 << 20, 7])
def test_a_case_of_the_corpus_has_its_expected_records(case: dict[str, Any], chunk_bytes: int) -> None:
    raw = content(case)
    assert len(raw) == case["bytes"]
    chunks = [raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes)]
    outcomes = [as_json(record) for record in read_lines(chunks)]
    assert comparable(json.loads(json.dumps(outcomes))) == comparable(case["expect"])

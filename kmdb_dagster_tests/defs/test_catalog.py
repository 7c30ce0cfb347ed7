"""What Dagster's catalog shows of each asset: where it is, its columns, its owners, its source code, links."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kmdb_dagster.definitions import build_defs
from kmdb_dagster.defs.assets.catalog import link_docs
from kmdb_dagster.settings import load_settings
from testing.documents import ROOT

MATERIALIZED = ("raw_revisions", "parsed_events", "user_map", "events", "properties", "warehouse", "import_report")

pytestmark = pytest.mark.usefixtures("bare_environment")


def catalog(**settings: Any) -> dict[str, dg.AssetSpec]:
    """Return the assets by name, with these settings."""
    specs = build_defs(load_settings(**settings)).resolve_all_asset_specs()
    return {spec.key.to_user_string(): spec for spec in specs}


def test_assets_say_where_their_data_is_without_a_credential(tmp_path: Path) -> None:
    found = catalog(
        DATABASE_URL="mysql://kmdb:secret@db.example.com/site?ssl_ca=/ca.pem",
        AWS_BUCKET="acme",
        KMDB_PREFIX="export",
        KMDB_DATA_DIR=tmp_path,
    )
    uris = {name: spec.metadata["dagster/uri"] for name, spec in found.items() if "dagster/uri" in spec.metadata}
    database = "mysql://db.example.com:3306/site"
    assert uris == {
        "kissmetrics_bucket": "s3://acme/export/",
        "raw_revisions": (tmp_path / "raw").as_uri(),
        "parsed_events": (tmp_path / "parsed").as_uri(),
        "columnar_facts": (tmp_path / "columnar").as_uri(),
        **dict.fromkeys(["user_map", "events", "properties", "warehouse"], database),
    }
    assert found["events"].metadata["dagster/table_name"] == "site.events"
    assert catalog(KMDB_LOCAL_BUCKET=tmp_path)["kissmetrics_bucket"].metadata["dagster/uri"] == tmp_path.as_uri()


def test_tables_and_parquet_show_their_columns() -> None:
    found = catalog()
    columns = {
        name: [column.name for column in spec.metadata["dagster/column_schema"].columns]
        for name, spec in found.items()
        if "dagster/column_schema" in spec.metadata
    }
    assert columns["events"] == ["id", "t", "n", "user_id", "identity_id"]
    assert columns.keys() == {"parsed_events", "user_map", "events", "properties"}
    described = found["properties"].metadata["dagster/column_schema"].columns
    assert [column.description for column in described if not column.description] == []
    assert [column.name for column in described if column.constraints.nullable] == ["value", "event_id"]


def test_owners_are_those_of_the_setting() -> None:
    found = catalog(KMDB_OWNERS="team:analytics alice@example.com")
    assert {tuple(spec.owners) for spec in found.values()} == {("team:analytics", "alice@example.com")}


def test_assets_that_hold_identities_are_tagged() -> None:
    tagged = {name for name, spec in catalog().items() if spec.tags.get("kmdb/personal_data") == "yes"}
    assert tagged == {"kissmetrics_bucket", "columnar_facts", *MATERIALIZED} - {"warehouse", "import_report"}


@pytest.mark.parametrize("name", MATERIALIZED)
def test_an_asset_links_to_its_source_code(name: str) -> None:
    (reference,) = catalog()[name].metadata["dagster/code_references"].code_references
    source = Path(reference.file_path).read_text().splitlines()
    assert source[reference.line_number - 1].lstrip().startswith(("@dg.asset", "@dg.multi_asset"))


def test_descriptions_link_to_pages_and_jobs_that_exist() -> None:
    definitions = build_defs(load_settings(KMDB_DOCS_URL="https://docs.example.com/kmdb/"))
    text = "\n".join(str(spec.description) for spec in definitions.resolve_all_asset_specs())
    pages = re.findall(r"\(https://docs\.example\.com/kmdb/([\w/-]+)/(?:#[\w-]+)?\)", text)
    assert len(pages) > 5
    assert [page for page in pages if not (ROOT / "docs" / f"{page}.md").exists()] == []
    jobs = re.findall(r"/locations/kmdb_dagster/jobs/(\w+)\)", text)
    assert {"import_range", "realias", "check_everything"} <= set(jobs)
    assert [job for job in jobs if not definitions.get_repository_def().has_job(job)] == []


def test_without_a_url_of_the_documentation_descriptions_name_the_page() -> None:
    assert link_docs("[How](docs/how-to/query.md#then).", None) == "How (`docs/how-to/query.md`)."
    assert "](docs/" not in "".join(str(spec.description) for spec in catalog().values())

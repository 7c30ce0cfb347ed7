"""What Dagster's catalog shows of the assets besides their definitions: owners, tables, columns, places, source code.

All of it is public API of Dagster. The places come from the settings; none has a credential in it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg

from kmdb_dagster.dagster_ext.asset_keys import (
    COLUMNAR_FACTS,
    EVENTS,
    PARSED_EVENTS,
    PROPERTIES,
    RAW_REVISIONS,
    REVISION_ASSETS,
    USER_MAP,
    WAREHOUSE,
)
from kmdb_dagster.defs.assets.revisions import BUCKET
from kmdb_dagster.lake.parsed import SCHEMA
from kmdb_dagster.settings import Settings
from kmdb_dagster.warehouse.schema.tables import Base, Event, Property, UserMapping

Asset: TypeAlias = dg.AssetsDefinition | dg.AssetSpec

TABLES: Mapping[dg.AssetKey, type[Base]] = {EVENTS: Event, PROPERTIES: Property, USER_MAP: UserMapping}

GROUP = "kissmetrics"
"""One group for all: the UI opens the lineage of several groups as closed boxes."""

PERSONAL_DATA = {"kmdb/personal_data": "yes"}
"""The tag of assets that hold identities, to be found in the catalog."""

DOCS_LINK = re.compile(r"\[([^\]]+)\]\(docs/([\w/-]+)\.md(#[\w-]+)?\)")


def with_catalog(assets: Iterable[Asset], settings: Settings) -> Sequence[Asset]:
    """Add to each asset what the catalog shows of it."""
    described = dg.map_asset_specs(lambda spec: _described(spec, settings), assets)
    return dg.with_source_code_references(described)  # type: ignore[return-value]  # it takes and returns more kinds


def link_docs(text: str, docs_url: str | None) -> str:
    """Make links to `docs/…` lead to the documentation at a URL. Without one, they become the path of the page."""
    if docs_url is None:
        return DOCS_LINK.sub(r"\1 (`docs/\2.md`)", text)
    return DOCS_LINK.sub(rf"[\1]({docs_url.rstrip('/')}/\2/\3)", text)


def _described(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    holds_people = spec.key in {BUCKET.key, COLUMNAR_FACTS, *REVISION_ASSETS}
    return spec.merge_attributes(
        metadata={**_columns(spec.key), **_table_name(spec.key, settings), **_uri(spec.key, settings)},
        tags=PERSONAL_DATA if holds_people else {},
    ).replace_attributes(
        owners=list(settings.owners),
        group_name=GROUP,
        description=link_docs(spec.description or "", settings.docs_url),
    )


def _columns(key: dg.AssetKey) -> dict[str, Any]:
    fields: Iterable[tuple[str, str, str | None, bool]]
    if key == PARSED_EVENTS:
        fields = ((field.name, str(field.type), None, field.nullable) for field in SCHEMA)
    elif key in TABLES:
        table = Base.metadata.tables[TABLES[key].__tablename__]
        fields = ((column.name, str(column.type), column.doc, bool(column.nullable)) for column in table.columns)
    else:
        return {}
    columns = [
        dg.TableColumn(name, kind, doc, constraints=dg.TableColumnConstraints(nullable=nullable))
        for name, kind, doc, nullable in fields
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def _table_name(key: dg.AssetKey, settings: Settings) -> dict[str, Any]:
    if key not in TABLES:
        return {}
    database = settings.required_database().database if settings.database_url else None
    return {"dagster/table_name": ".".join(filter(None, [database, TABLES[key].__tablename__]))}


def _uri(key: dg.AssetKey, settings: Settings) -> dict[str, Any]:
    if key == BUCKET.key:
        uri = _bucket_uri(settings)
    elif key in {RAW_REVISIONS, PARSED_EVENTS}:
        uri = (settings.data_folder / ("raw" if key == RAW_REVISIONS else "parsed")).as_uri()
    elif key == COLUMNAR_FACTS:
        uri = settings.columnar_folder.as_uri()
    elif key in {*TABLES, WAREHOUSE} and settings.database_url:
        url = settings.required_database()
        uri = f"mysql://{url.host or 'localhost'}:{url.port or 3306}/{url.database or ''}"
    else:
        uri = None
    return {"dagster/uri": uri} if uri else {}


def _bucket_uri(settings: Settings) -> str | None:
    if settings.local_bucket is not None:
        return (settings.local_bucket.expanduser().absolute() / settings.prefix).as_uri()
    return f"s3://{settings.bucket}/{settings.prefix}" if settings.bucket else None

"""Keys of the assets: five of a revision, in the order of the import, and those of all. `defs/assets` has the rest."""

import dagster as dg

RAW_REVISIONS = dg.AssetKey("raw_revisions")
PARSED_EVENTS = dg.AssetKey("parsed_events")
USER_MAP = dg.AssetKey("user_map")
EVENTS = dg.AssetKey("events")
PROPERTIES = dg.AssetKey("properties")
"""Recorded last: a revision with this materialization has all of them."""

REVISION_ASSETS = (RAW_REVISIONS, PARSED_EVENTS, USER_MAP, EVENTS, PROPERTIES)

WAREHOUSE = dg.AssetKey("warehouse")
"""All tables as a whole. Imports never materialize it."""
COLUMNAR_FACTS = dg.AssetKey("columnar_facts")
"""Unpartitioned: the copy of the facts in Parquet."""
FILTERS = dg.AssetKey("filters")
"""Unpartitioned: what the filters exclude, and what was loaded with other ones."""

"""The tables as classes: what each column means. They are made by the migrations, not from here.

Times are UTC. Text is utf8mb4 and compared exactly. Names without ``+`` in docs/reference/tables.md are km-db's.
"""

from kmdb_dagster.warehouse.schema.tables.base import Base
from kmdb_dagster.warehouse.schema.tables.facts import Event, Key, Property
from kmdb_dagster.warehouse.schema.tables.filters import (
    BlacklistedProperty,
    ForgottenIdentity,
    IgnoredUser,
    WhitelistedEvent,
)
from kmdb_dagster.warehouse.schema.tables.ledger import (
    ChangedDay,
    ChangedRevision,
    ColumnarCopy,
    RejectedLine,
    Revision,
)
from kmdb_dagster.warehouse.schema.tables.people import (
    Alias,
    IdentitySpan,
    MapState,
    PendingMove,
    PendingSpan,
    PlaceholderIdentity,
    ResolvedRevision,
    User,
    UserMapping,
)
from kmdb_dagster.warehouse.schema.tables.state import Binding, DataFolder, SearchedFolder, WarehouseState

__all__ = [
    "FACTS",
    "Alias",
    "Base",
    "Binding",
    "BlacklistedProperty",
    "ChangedDay",
    "ChangedRevision",
    "ColumnarCopy",
    "DataFolder",
    "Event",
    "ForgottenIdentity",
    "IdentitySpan",
    "IgnoredUser",
    "Key",
    "MapState",
    "PendingMove",
    "PendingSpan",
    "PlaceholderIdentity",
    "Property",
    "RejectedLine",
    "ResolvedRevision",
    "Revision",
    "SearchedFolder",
    "User",
    "UserMapping",
    "WarehouseState",
    "WhitelistedEvent",
]

FACTS = ("events", "properties")
"""The tables of facts, which are replaced, moved and dropped alike."""

"""Convert records to JSON, as ``kmdb inspect --json`` and the corpus have it. Rejected lines are never shown."""

import json

from kmdb_dagster.km_export.records import Alias, Blank, Event, PropertySet, Record, Rejected, Typed, Value


def as_json(record: Record) -> dict[str, object]:
    """Return a record as an object for ``json.dumps``."""
    match record:
        case Event(line, identity, t, name, properties):
            rest: dict[str, object] = {"identity": identity, "t": t, "name": name, "properties": _shown(properties)}
            return {"line": line, "outcome": "event", **rest}
        case PropertySet(line, identity, t, properties):
            rest = {"identity": identity, "t": t, "properties": _shown(properties)}
            return {"line": line, "outcome": "property-set", **rest}
        case Alias(line, identity, alias, t):
            return {"line": line, "outcome": "alias", "identity": identity, "alias": alias, "t": t}
        case Rejected(line, reason, _):
            return {"line": line, "outcome": "rejected", "reason": reason.value}
        case Blank(line):
            return {"line": line, "outcome": "blank"}


def _shown(properties: dict[str, Value]) -> dict[str, object]:
    return {name: _value(value) if isinstance(value, Typed) else value for name, value in properties.items()}


def _value(value: Typed) -> dict[str, object]:
    if value.type == "json" and value.text is not None:
        return {"type": "json", "value": json.loads(value.text, parse_int=_number, parse_float=_number)}
    return {"type": value.type} if value.text is None else {"type": value.type, "text": value.text}


def _number(text: str) -> dict[str, str]:
    """Keep the digits of a number in nested JSON, distinct from a string."""
    return {"number": text}

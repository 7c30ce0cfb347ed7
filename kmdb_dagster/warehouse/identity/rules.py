"""The rule of identity resolution: the one in force, and the requested one.

The map is a function of the alias lines and of a rule. Were the rule to change under running imports, the map would
depend on when. So the rule in force is kept with the map, and changes with the whole of it: with `kmdb realias`, or
while there is no alias yet.
"""

import json
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, text

from kmdb_dagster.digest import digest
from kmdb_dagster.warehouse.connection.server import transaction
from kmdb_dagster.warehouse.schema.state_rows import required

RULE_IS_PENDING = (
    "placeholder_identities, ignored_users or KMDB_NUMERIC_APART request another rule than the user map follows: run "
    "`kmdb realias`."
)


class Rule(NamedTuple):
    """Alias lines of ``placeholders`` and ``ignored`` connect nothing; ``apart``: no person has two numeric identities.

    Ignored identities are digests: they may belong to people, and erasure must not have to look for them here.
    """

    placeholders: frozenset[str]
    apart: bool
    ignored: frozenset[bytes] = frozenset()

    def connects(self, one: str, other: str) -> bool:
        """Return whether an alias line of these two identities makes them one person."""
        if not self.placeholders.isdisjoint((one, other)):
            return False
        return not self.ignored or self.ignored.isdisjoint((digest(one), digest(other)))


def rule_in_force(connection: Connection) -> Rule:
    """Read the rule in force."""
    statement = text("SELECT placeholders, numeric_apart, ignored FROM map_state WHERE id = 1")
    found = required("map_state", connection.execute(statement).one_or_none())
    ignored = map(bytes.fromhex, json.loads(found.ignored or "[]"))
    return Rule(frozenset(json.loads(found.placeholders or "[]")), bool(found.numeric_apart), frozenset(ignored))


def requested_rule(connection: Connection, *, numeric_apart: bool) -> Rule:
    """Read the requested rule: ``placeholder_identities``, ``ignored_users`` and KMDB_NUMERIC_APART."""
    names = connection.execute(text("SELECT name FROM placeholder_identities")).scalars()
    ignored = frozenset(map(digest, connection.execute(text("SELECT name FROM ignored_users")).scalars()))
    return Rule(frozenset(names), numeric_apart, ignored | _erased(connection, ignored))


def _erased(connection: Connection, ignored: frozenset[bytes]) -> frozenset[bytes]:
    """Return the identities that erasure removed from ``ignored_users``; their alias lines still connect nothing."""
    dropped = rule_in_force(connection).ignored - ignored
    if not dropped:
        return dropped
    return dropped & set(map(bytes, connection.execute(text("SELECT digest FROM forgotten_identities")).scalars()))


def store_rule(connection: Connection, rule: Rule) -> None:
    """Store the rule in force. Requires `lock_map`, and a rebuild of the map in the same transaction."""
    connection.execute(
        text("UPDATE map_state SET placeholders = :names, numeric_apart = :apart, ignored = :ignored WHERE id = 1"),
        {
            "names": json.dumps(sorted(rule.placeholders)),
            "apart": rule.apart,
            "ignored": json.dumps(sorted(item.hex() for item in rule.ignored)),
        },
    )


def adopt_rule(connection: Connection, *, numeric_apart: bool) -> Rule:
    """Return the rule for a merge. Without any stored alias, the requested rule is put in force.

    Requires `lock_map`.
    """
    in_force = rule_in_force(connection)
    asked = requested_rule(connection, numeric_apart=numeric_apart)
    if asked != in_force and not _any_alias(connection):
        store_rule(connection, asked)
        return asked
    return in_force


def effective_rule(connection: Connection, *, numeric_apart: bool) -> Rule:
    """Return the rule for the next merge, like `adopt_rule`, without putting it in force."""
    return (
        rule_in_force(connection) if _any_alias(connection) else requested_rule(connection, numeric_apart=numeric_apart)
    )


def is_rule_pending(engine: Engine, *, numeric_apart: bool) -> bool:
    """Return whether the requested rule differs from the one in force. `kmdb realias` puts it in force."""
    with transaction(engine) as connection:
        if rule_in_force(connection) == requested_rule(connection, numeric_apart=numeric_apart):
            return False
        # Without aliases the next import puts it in force.
        return _any_alias(connection)


def _any_alias(connection: Connection) -> bool:
    return connection.execute(text("SELECT 1 FROM aliases LIMIT 1")).scalar() is not None


def excluded_ids(connection: Connection, rule: Rule) -> set[int]:
    """Return ``users.id`` of the known identities whose alias lines connect nothing."""
    digests = sorted(rule.ignored.union(map(digest, rule.placeholders)))
    if not digests:
        return set()
    statement = text("SELECT id FROM users WHERE digest IN :digests").bindparams(
        bindparam("digests", digests, expanding=True)
    )
    return set(connection.execute(statement).scalars())

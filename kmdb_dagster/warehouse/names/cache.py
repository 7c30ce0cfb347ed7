"""Ids of names that were looked up before: in this process, and in Redis for all of them.

A cache only: it may be empty, slow, full or gone at any time. Then names are looked up in the database, which is
slower and never wrong. Redis gets digests of names, never names.
"""

import logging
from collections.abc import Iterable, Mapping
from ssl import SSLError
from typing import Literal

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

Kind = Literal["keys", "users"]

LOCAL_ENTRIES = 100_000
"""Of each kind, 150 bytes each: a run must not grow with its range. Who comes again mostly comes again soon."""
SECONDS_TO_LIVE = 7 * 24 * 3600
SECONDS_TO_WAIT = 1.0


class IdCache:
    """Ids by the digest of their name. ``generation`` keeps apart what different (or flushed) databases hand out."""

    def __init__(self, generation: str, redis_url: str | None) -> None:
        self.generation = generation
        self._local: dict[Kind, dict[bytes, int]] = {"keys": {}, "users": {}}
        self._redis = (
            Redis.from_url(redis_url, socket_timeout=SECONDS_TO_WAIT, socket_connect_timeout=SECONDS_TO_WAIT)
            if redis_url
            else None
        )

    def get(self, kind: Kind, digests: Iterable[bytes]) -> dict[bytes, int]:
        """The ids that are known."""
        wanted = list(digests)
        # Another thread may forget them all at any moment.
        local = self._local[kind]
        found = {digest: number for digest in wanted if (number := local.get(digest)) is not None}
        missing = [digest for digest in wanted if digest not in found]
        if missing and (redis := self._redis):
            found |= self._from_redis(redis, kind, missing)
        return found

    def put(self, kind: Kind, ids: Mapping[bytes, int]) -> None:
        """Remember ids. They must be committed."""
        self._remember(kind, ids)
        redis = self._redis
        if not redis or not ids:
            return
        try:
            pipeline = redis.pipeline(transaction=False)
            for digest, number in ids.items():
                pipeline.set(self._name(kind, digest), number, ex=SECONDS_TO_LIVE)
            pipeline.execute()
        except RedisError as error:
            self._give_up(error)

    def drop(self, kind: Kind, digests: Iterable[bytes]) -> None:
        """Remember these no longer. Should Redis be away, it keeps them until their time is over."""
        gone = list(digests)
        for digest in gone:
            self._local[kind].pop(digest, None)
        redis = self._redis
        if not redis or not gone:
            return
        try:
            redis.delete(*(self._name(kind, digest) for digest in gone))
        except RedisError as error:
            self._give_up(error)

    def _from_redis(self, redis: Redis, kind: Kind, digests: list[bytes]) -> dict[bytes, int]:
        try:
            answers = redis.mget([self._name(kind, digest) for digest in digests])
        except RedisError as error:
            self._give_up(error)
            return {}
        found = {digest: int(answer) for digest, answer in zip(digests, answers, strict=True) if answer}
        self._remember(kind, found)
        return found

    def _remember(self, kind: Kind, ids: Mapping[bytes, int]) -> None:
        local = self._local[kind]
        if len(local) + len(ids) > LOCAL_ENTRIES:
            local.clear()
        local.update(ids)

    def _give_up(self, error: RedisError) -> None:
        why = "its certificate is not to be trusted" if _is_about_tls(error) else type(error).__name__
        log.warning("Redis (KMDB_REDIS_URL) does not answer: %s. Going on without it.", why)
        self._redis = None

    def _name(self, kind: Kind, digest: bytes) -> str:
        return f"kmdb:{self.generation}:{kind}:{digest.hex()}"


def _is_about_tls(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, SSLError) or _is_about_tls(error.__context__))

"""The digest of a name or an identity: SHA-256. Names are looked up and erased identities recognized by it."""

from hashlib import sha256


def digest(name: str) -> bytes:
    """Return the SHA-256 of a name's UTF-8 (32 bytes), the same as ``UNHEX(SHA2(name, 256))`` in SQL."""
    return sha256(name.encode()).digest()

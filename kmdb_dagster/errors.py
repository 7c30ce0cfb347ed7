"""The exceptions of this package: permanent and transient errors.

    KmdbError
    ├── PermanentError        bad data or bad configuration: a retry fails in the same way
    │   └── SettingsError     a setting is wrong
    │       └── MissingSettingError
    └── TransientError        a lost connection, a deadlock, throttling: a retry may succeed

A message says what happened, to which thing, and what to do. It never holds an identity, a value, a raw line or a
secret, because messages reach logs, Dagster's event log and alerts.
"""


class KmdbError(Exception):
    """The base class of every error that this package raises on purpose."""


class PermanentError(KmdbError):
    """Bad data or bad configuration. Never retried."""


class SettingsError(PermanentError):
    """A setting is wrong."""


class MissingSettingError(SettingsError):
    """A setting is needed and not set."""


class TransientError(KmdbError):
    """A temporary condition. Retried with backoff."""

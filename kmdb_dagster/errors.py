"""The exceptions of this package: permanent and transient errors.

    KmdbError
    ├── PermanentError        bad data or bad configuration: a retry fails in the same way
    │   ├── RequestError      what a user has typed is refused
    │   └── SettingsError     a setting is wrong
    │       └── MissingSettingError
    └── TransientError        a lost connection, a deadlock, throttling: a retry may succeed

A message of a failed revision or run begins with what to do; any other says what happened, to which thing, and what to
do. It never holds an identity, a value, a raw line or a secret, because messages reach logs, Dagster's event log and
alerts.
"""


class KmdbError(Exception):
    """The base class of every error that this package raises on purpose."""


class PermanentError(KmdbError):
    """Bad data or bad configuration. Never retried."""


class RequestError(PermanentError):
    """What a user has typed is refused, and nothing was done. The user sees it, so no alert reports it."""


class SettingsError(PermanentError):
    """A setting is wrong."""


class MissingSettingError(SettingsError):
    """A setting is needed and not set."""


class TransientError(KmdbError):
    """A temporary condition. Retried with backoff."""

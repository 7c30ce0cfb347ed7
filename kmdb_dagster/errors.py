"""The two kinds of failure, and nothing else.

    KmdbError
    ├── PermanentError        bad data or bad configuration: trying again gives the same
    │   └── SettingsError     a setting is wrong
    │       └── MissingSettingError
    └── TransientError        a lost connection, a deadlock, throttling: trying again may help

An error says what was found, where, what was expected, and what to do. It never holds an identity, a value, a
raw line or a secret: messages end up in logs, in Dagster's event log and in alerts.
"""


class KmdbError(Exception):
    """The root of every error that this package raises on purpose."""


class PermanentError(KmdbError):
    """Bad data or bad configuration. Never retried."""


class SettingsError(PermanentError):
    """A setting is wrong."""


class MissingSettingError(SettingsError):
    """A setting is needed and not set."""


class TransientError(KmdbError):
    """A condition that passes by itself. Retried with backoff."""

"""Load the settings from the environment, then from ``.env``. Nothing else in the package reads them."""

from typing import Any

from pydantic import SecretStr, ValidationError

from kmdb_dagster.errors import SettingsError
from kmdb_dagster.settings.fields import Settings, description


def load_settings(**values: Any) -> Settings:  # noqa: ANN401 - whatever the fields accept
    """Load the settings of this process.

    Args:
        **values: Settings by field name, for tests. They win over the environment, ``.env`` and the defaults.

    Raises:
        SettingsError: One or more settings are wrong (the message names each), or ``.env`` cannot be read.
    """
    try:
        return Settings(**values)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}). It must be UTF-8 text.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_problem(item) for item in error.errors(include_input=True))) from None


def reveal(secret: SecretStr | None) -> str | None:
    """Return a secret in clear, for the client that must send it."""
    return secret.get_secret_value() if secret else None


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, whose keys depend on the error
    name = str(item["loc"][0])
    secret = "Secret" in str(next(f.annotation for f in Settings.model_fields.values() if f.alias == name))
    shown = "***" if secret else repr(item.get("input"))
    return f"{name} is {shown}: {item['msg'].removeprefix('Value error, ')}. {description(name)}"

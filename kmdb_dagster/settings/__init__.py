"""The settings, read from the environment, then from ``.env``: ``fields`` has one for each variable.

No other room reads a setting from the environment. Settings load when everything is missing, so definitions and
``kmdb inspect`` need none. Code that needs a setting raises `missing_setting` if it is not set.
"""

from kmdb_dagster.database_options import database_url
from kmdb_dagster.settings.fields import Settings, description, missing_setting
from kmdb_dagster.settings.loading import load_settings, reveal

__all__ = ["Settings", "database_url", "description", "load_settings", "missing_setting", "reveal"]

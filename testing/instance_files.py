"""The shipped dagster.yaml files, by the kind of their history storage."""

from pathlib import Path

import kmdb_dagster

CHECKOUT = Path(kmdb_dagster.__file__).parent.parent
SQLITE = CHECKOUT / "dagster.yaml"
MYSQL = CHECKOUT / "deploy" / "mysql" / "dagster.yaml"
CELERY = CHECKOUT / "deploy" / "celery" / "dagster.yaml"

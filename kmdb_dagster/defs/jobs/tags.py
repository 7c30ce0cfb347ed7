"""Tags of jobs. dagster.yaml limits concurrency by them."""

DDL_TAGS = {"kmdb/ddl": "true"}
"""Jobs that change tables run one at a time."""

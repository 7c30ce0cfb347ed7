"""A columnar copy of the facts: Parquet by time partition, for DuckDB and other engines.

It is derived from MySQL and disposable: `kmdb columnar rebuild` makes it again. No person is in the files of facts, so
a merge of people rewrites only the small `user_map` (docs/decisions/0044-columnar-copy.md).
"""

"""The format of a KissMetrics export: lines, identities, file formats, the layout of the bucket.

Pure functions of bytes and plain values. This room uses no files, no servers, no SQL and no Dagster.
"""

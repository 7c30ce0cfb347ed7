"""What a KissMetrics export is: its lines, its people, its bucket.

Pure: no dagster, no SQLAlchemy, no boto3, no files. Bytes and plain values come in, plain values go out.
"""

"""Maintenance of the tables: time partitions, retention, indexes, sizes, and flush."""

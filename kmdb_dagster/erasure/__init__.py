"""Erase people: requests, what to redact, tables and files. Everything about forgetting a person is here."""

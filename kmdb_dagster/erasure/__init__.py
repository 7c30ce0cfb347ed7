"""Erase people (GDPR, article 17): requests, redaction, tables and files. Everything about `kmdb forget` is here."""

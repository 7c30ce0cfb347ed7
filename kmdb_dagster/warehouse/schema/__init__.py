"""The tables, their migrations, and the version of the schema."""

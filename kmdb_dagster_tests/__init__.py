"""The tests. Folders mirror the package; servers are real and started here (see conftest)."""

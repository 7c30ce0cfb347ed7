"""One chart kit for answers and the import report: palette, dates, labels, PNG."""

"""The assets: `revisions` (five for each revision), `import_report`, and `questions` (one for each line of a file)."""

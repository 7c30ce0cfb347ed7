"""The assets: `revisions` (five for each revision), `warehouse`, `import_report`, `questions` (one for each line)."""

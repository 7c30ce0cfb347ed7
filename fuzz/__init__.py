"""Coverage-guided fuzzing. Targets only: what the reader must do stands in docs/reference/reading-rules.md."""

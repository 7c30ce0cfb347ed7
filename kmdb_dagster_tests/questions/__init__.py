"""Questions: each against an independent computation, on tables made by hand and on real servers."""

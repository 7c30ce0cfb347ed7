"""Charts: what is drawn of a frame, without a server."""

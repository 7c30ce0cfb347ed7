"""Which identities are one person: alias lines, the user map, and the facts that follow it."""

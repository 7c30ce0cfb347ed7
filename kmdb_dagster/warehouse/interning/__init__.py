"""Names and identities as ids."""

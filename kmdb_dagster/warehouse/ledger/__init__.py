"""The ledger of revisions: what is imported, whether the counts agree, status and history."""

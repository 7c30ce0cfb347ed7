"""The sensors, one in each module: `new_revisions`, `unrecorded_revisions`, `alerts`."""

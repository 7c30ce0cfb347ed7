"""Extensions of Dagster: launchers, backfills, history storage, run outcomes. No definitions are here."""

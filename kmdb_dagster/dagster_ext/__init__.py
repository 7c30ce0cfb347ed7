"""Extensions of Dagster: launchers, backfills, history storage, run outcomes. No definitions are here.

This is the only room that uses what is not public in Dagster. Each use, why, and the test that fails first when a
release of Dagster changes it:

* ``asset_events``: `dagster._core.events`, `dagster._core.storage.event_log`,
  `dagster._core.storage.event_log.schema`, the methods of an event log storage whose names begin with ``_``, and the
  variable ``DAGSTER_EVENT_BATCH_SIZE``. Dagster stores the events of assets one by one.
  Test: dagster_ext/test_asset_events.
* ``backfills``: `dagster._core.execution.backfill` and
  `dagster._core.definitions.assets.graph.asset_graph_subset`. Dagster has no public call that starts a backfill.
  Test: defs/test_backfills.
* ``backfill_titles``: `dagster._core.execution.backfill` and `dagster._core.storage.runs`. Backfills of the UI's dialog
  have no title. Test: dagster_ext/test_backfill_titles.
* ``celery_launcher``: `dagster_celery.launcher`, `dagster_celery.tags` and `dagster_celery.tasks`. The public launcher
  does not see that a worker is gone. Test: deploy/test_workers.
* ``future_ticks``: the state and the methods of a schedule storage. A clock that was ahead must not stop a sensor.
  Test: dagster_ext/test_future_ticks.
* ``history_purge``: `dagster._core.storage.event_log.schema`, `dagster._core.storage.runs.schema`, and the storages of
  an instance. Dagster never purges runs. Test: dagster_ext/test_history_purge.
* ``history_storage``: `dagster._core.storage.base_storage`, `dagster._core.storage.event_log`,
  `dagster._core.storage.runs`, `dagster._core.storage.schedules`, `dagster._core.storage.sqlite_storage`,
  `dagster_mysql.storage` and `dagster._serdes`. Dagster does not retry its storage.
  Test: dagster_ext/test_history_storage.
* ``launcher``: `dagster._core.launcher` and `dagster._core.storage.tags`. Dagster does not see that the process of a
  run is gone. Test: dagster_ext/test_launcher.
* ``run_ranges``: `dagster._core.execution.backfill`, for the revisions of active backfills.
  Test: defs/test_sensor_runs.
* ``run_outcomes``: the data of step events; Dagster documents no types. Test: defs/test_alerts.
* ``sensor_state``: `DagsterInstance.all_instigator_state` and `get_ticks`. There is no public access to ticks.
  Test: defs/test_backfills.
* ``webserver``: `dagster._cli` and `dagster_webserver`. Dagster has no setting for ASGI middleware.
  Test: dagster_ext/test_webserver.
"""

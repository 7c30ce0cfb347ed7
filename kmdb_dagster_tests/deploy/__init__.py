"""deploy/celery, compose.yaml and the Dockerfile. Commands are run as they stand there, without Docker."""

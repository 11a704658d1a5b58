"""The worker: Celery's processes, each with the whole application behind three short tasks."""

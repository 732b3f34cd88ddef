"""What does the work: Celery tasks, the process of one run, the engine and the datasets it reads."""

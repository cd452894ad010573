"""Redis and Celery: the queue that wakes workers, and the embedded server.

Imports the top of `storage` and `storage.host`; no SQL.
"""

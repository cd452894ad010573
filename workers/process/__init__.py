"""The Celery process: its task, its consumer, what it lets in, and its row in SQL.

Imports every other room of `workers`; only `workers.cli` stands above it.
"""

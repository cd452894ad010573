"""From images to scores: the built-in metrics, and the way to a user's own.

Imports `workers.devices`; neither Celery nor SQL. torch and transformers are imported
only when a metric that needs them is loaded.
"""

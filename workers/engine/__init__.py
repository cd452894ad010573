"""From jobs to pixels with torch and diffusers: pipelines, batches and decoding.

Imports `workers.vitals` and `workers.devices`; neither Celery nor SQL.
"""

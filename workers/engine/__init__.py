"""From jobs to pixels with torch and diffusers: pipelines, batches and decoding.

Imports `workers.vitals`, `workers.devices` and `storage`; neither Celery nor SQL.
"""

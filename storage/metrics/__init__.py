"""Metrics as data: their names, versions and directions, and the models they need.

Imports `storage.models`; no SQL, no torch. `workers.metrics` computes the scores.
"""

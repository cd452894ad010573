"""Scores as they are asked for: which metrics, of which images, against which others.

Imports `producer.models`, `spec` and `display`, and `storage`.
"""

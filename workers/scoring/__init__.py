"""Scores, from claim to row: images are opened, measured by a metric, and written.

Imports `workers.execution` and `workers.metrics`, and what lies below them.
"""

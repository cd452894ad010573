"""From a spec to its jobs: what the values mean for each model, cell by cell.

Imports `producer.models`, `spec` and `display`, and `storage`.
"""

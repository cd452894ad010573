"""A sweep under way: its workers on this machine, its pace, its progress.

Imports `producer.models`, `spec` and `display`, and `storage`.
"""

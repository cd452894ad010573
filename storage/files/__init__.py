"""Image files and their folders, and how they are compared with SQL and repaired.

Imports `storage.jobs` and all that `storage.jobs` may import.
"""

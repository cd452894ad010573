"""Scores in SQL: what is asked of images, who computes it, and what came out.

Imports `storage.sql` and what lies below; `storage.jobs` stands on it.
"""

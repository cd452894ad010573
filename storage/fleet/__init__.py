"""Which workers there are, what each is doing, and how far they are.

Imports `storage.jobs` and all that `storage.jobs` may import.
"""

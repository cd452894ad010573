"""Questions about images: their language, its columns, and the rows that answer them.

Imports `storage.sql` and all that `storage.sql` may import.
"""

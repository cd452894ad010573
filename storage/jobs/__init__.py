"""What becomes of jobs and sweeps: who wants them, who makes them, what came of it.

Imports `storage.sql` and all that `storage.sql` may import.
"""

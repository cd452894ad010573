"""Jobs and sweeps: who wants them, who makes them, and with what result.

Imports `storage.sql` and all that `storage.sql` may import.
"""

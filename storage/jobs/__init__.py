"""Jobs and sweeps: who wants them, who makes them, and with what result.

Imports `storage.queries` and all that `storage.queries` may import.
"""

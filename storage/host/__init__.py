"""What belongs to this machine: process ids, files, their stamps, its GPUs.

Imports `storage.errors` and nothing else of nightsweep.
"""

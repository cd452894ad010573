"""What belongs to this machine: process ids, files, their stamps, its GPUs.

May import `storage.errors` and nothing else of nightsweep.
"""

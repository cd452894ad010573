"""What belongs to this machine: process ids, programs, files, whether it has a GPU.

May import `storage.errors` and nothing else of nightsweep.
"""

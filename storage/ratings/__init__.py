"""What people think of images: stars, verdicts, and votes between two of them.

Imports `storage.queries` and what lies below.
"""

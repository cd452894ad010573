"""What `export` writes: readable names, and a folder or a zip file.

Imports `display`, and `storage`.
"""

"""What a pivot is made of: axes with their labels, and which images it shows.

Imports `storage` only; `gallery.pivot` puts it together.
"""

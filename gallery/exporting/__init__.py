"""What an exported page is made of: one script, one page, and copies of images.

Imports `storage` only; `gallery.export` puts it together.
"""

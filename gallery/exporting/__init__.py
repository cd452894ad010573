"""What an exported page is made of: one script, one page, and copies of images.

Of the gallery it imports `static_files` only; `gallery.export` puts it together.
"""

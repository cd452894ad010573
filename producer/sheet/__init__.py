"""Contact sheets: which axes go where, pages, and the drawing.

Imports the rooms of `producer` from `expansion` and `running` down.
"""

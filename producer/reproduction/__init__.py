"""Making an image again: as a plain script, or here and now to compare its pixels.

Imports the rooms of `producer` from `expansion` and `running` down.
"""

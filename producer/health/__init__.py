"""What `nightsweep doctor` and `nightsweep verify` look at, by where it is.

Imports the rooms of `producer` from `expansion` and `running` down.
"""

"""From a sweep file to rows and messages: find, compare, ask, store.

Imports the rooms of `producer` from `expansion` and `running` down.
"""

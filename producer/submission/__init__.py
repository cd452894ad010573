"""From a sweep file to rows and messages: found, compared, asked about, stored.

Imports the rooms of `producer` from `expansion` and `running` down.
"""

"""The sweep file: from YAML to a spec in which every value is valid.

Imports `storage`, and no other package of `producer`.
"""

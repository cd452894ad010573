"""The sweep file: YAML to a spec in which every value is known to be good.

Imports `storage`; no other room of `producer`.
"""

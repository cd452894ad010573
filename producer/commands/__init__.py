"""The click commands, a module each, with what only one of them needs.

Imports every other room of `producer`; no room imports it.
"""

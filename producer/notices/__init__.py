"""Telling people what happens to a sweep while they are away.

May import `storage` and the rooms of `producer` below its commands.
"""

"""One screen for `run` and `status --watch`: what is known, its drawing, the terminal.

May import `storage` and the rooms of `producer` below its commands.
"""

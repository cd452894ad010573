"""The pages of `nightsweep view`, and the server that sends them.

Imports `storage` and `analysis`. The command hands in what only a command can do.
"""
